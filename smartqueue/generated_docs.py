"""The parts of docs/ that are drawn from the code; tests hold the files equal to what is drawn here."""

from __future__ import annotations

from pathlib import Path

from smartqueue import explain_docs, settings
from smartqueue.env import READ, Variable

CONFIGURATION_HEAD = """\
# Configuration

Every setting comes from the environment. A value that cannot be used stops the process at start with the
name of the variable and what was expected. Secrets can also be given as files: `NAME_FILE` holds the path.

This table is written by `make docs` from `smartqueue/settings.py`, `queue_settings.py` and `order_settings.py`.

| variable | accepts | default | meaning |
|---|---|---|---|
"""

STATES_HEAD = """\
# States of a job

Written by `make docs` from `jobs/states.py`, the one place that says what may follow what.

| status | meaning |
|---|---|
"""


STATES_TAIL = """\

An attempt that is lost with its worker costs a retry, as one that fails does: the job is queued again at once while it
has retries left, else it is a dead letter (`max_retries` 0: with the first attempt lost). One that a stopping worker
hands back costs none.
"""

ROLES_HEAD = """\
# Roles

Written by `make docs` from `orgs/roles.py`, the table that API, pages, admin and sockets ask. Everything is within
one's own organisation; the platform admin (`admin`) sees and does it in all of them.

"""

CLOSING_HEAD = """
While an organisation is to be deleted its other members are refused, and its org admins may do this alone, so that they
can take it back. Nobody of a suspended organisation comes in; platform admins always do.

"""
SCOPES_HEAD = """
## Scopes of API keys

What a key may do, of what the role of its user allows. No scope covers the actions that are not here: nobody does them
with a key.

| scope | actions |
|---|---|
"""

API_HEAD = """\
# REST API

Written by `make docs` from the OpenAPI schema, which the server gives at `/schema`; `/docs` is an explorer for it that
loads nothing from elsewhere. This page says what the schema does not.

- All bodies are JSON. A path's last slash, or its absence, is part of it: `/jobs/` is right, `/jobs` is 404.
- Programs send an API key with each request, `Authorization: Bearer sq_...`. People make keys on the dashboard (*API
  keys*) or with `POST /orgs/me/keys`; a key is shown once, acts for whom it belongs to, and does what its scopes and
  their role allow ([roles.md](roles.md)). What lacks a scope is 403 `insufficient_scope` and names it. A key is refused
  from the next request on when it is revoked or expired, and when its user is no active member any more. Keys make no
  keys, and change nothing of their user's own account.
- People log in with `POST /auth/login` and send `Authorization: Bearer ACCESS_TOKEN`, for `expires_in` seconds. Before
  they are over, `POST /auth/refresh` changes the `refresh_token` for new ones of both. A refresh token serves once:
  where one comes a second time it was copied, and the whole login ends (access tokens that it had been given live on
  until they expire). `POST /auth/logout` ends it too, and so do a new password and an account that is not active any
  more.
- 401 is `invalid_token`, or `organization_suspended` and `organization_closing` where the organisation's state keeps
  its members out.
- Errors have one shape, `{"error": {"code", "message", "fields"?}}`; `fields` maps dotted field names to sentences.
- What belongs to another organisation does not exist for you: 404. What your role does not allow: 403.
- Lists are pages: follow `next`. 429 and 503 carry `Retry-After`.
- `POST /jobs/` takes an `Idempotency-Key` header (or the field): the same key and body again returns the first job with
  200, the same key with another body 409. Keys expire `SMARTQUEUE_IDEMPOTENCY_TTL_H` after the submission, 24 h by
  default, but never before their job has ended; after that the same key makes a new job.
- A body holds 2 MiB at most, that of `POST /jobs/bulk` 16 MiB; a larger one is 413.
- `DELETE /pauses/{id}` resumes; `POST /pauses` with `{}` pauses everything of your organisation, without a body it is
  400. Platform admins give `org_id`: an organisation, or `null` for the whole platform. Pausing holds jobs back, it
  stops none. An organisation has at most 200 pauses.
- A replay is a new job with the same submission and `replay_of_id`; it has no idempotency key. Bulk replays
  (`POST /replays`) run in lane low at `rate_per_s`, oldest job first, one bulk replay of an organisation at a time.
  A job that was replayed already is left out unless its replay was cancelled: the replay stands for it, and is a dead
  letter of its own when it fails. What fails after a bulk replay was asked for is not part of it. Platform admins may
  give `org_id`. `GET /replays/{id}` also tells `remaining`, counted up to 10,000 matches among the next 50,000 jobs of
  that status; where counting stopped there, `remaining_capped` is true. The body of `POST /replays` is
  `{"filter": {...}, "rate_per_s": 1}`, 10 a second without a rate; `{}` replays every dead letter, no body is 400.
- Jobs of an organisation that share a `concurrency_key` run one at a time, unless a limit of the key says otherwise:
  one without `max_running` lets any number run. A key is a parameter, `PUT /limits/keys?name=printer%2F2`, since it may
  hold any character; `*` is every key that has no limit of its own.
- `PUT` on a limit replaces all of it: what is left out is not limited any more. A limit is in force at once, also for
  jobs that are queued; those that run go on and are counted. A rate of 100 in 60 s lets at most 100 begin at once after
  a quiet time, and then one every 0.6 s. Several limits hold together: the narrowest decides.
- `max_queued` limits the jobs of an organisation that wait: scheduled, blocked and queued. One more is 429 with the
  code `queue_full`, the limit and how many wait in the message, and `Retry-After`. A repeated idempotency key needs no
  room; retries and jobs that are due are never refused; a bulk replay waits for room.
  Where an organisation has none of its own, `SMARTQUEUE_MAX_QUEUED_PER_ORG` holds.
- Platform admins give `org_id` for limits and shares of an organisation that is not theirs.
- `retry` is `{"base_s", "factor", "cap_s", "jitter"}`, each optional; `jitter` is `full` (anywhere from 0 up to the
  delay) or `none` (exactly the delay). An attempt that is lost with its worker costs a retry.
- What platform admins do in your organisation was done by "the platform": members are not shown their names, and the
  `user_id` of such pauses, replays and audit entries is `null`.
- `prediction_source` says what a prediction rests on: `cold_start` (no runs to go by), `base` (a robust median of
  earlier runs), `lstm` (the same, corrected by the network), `fallback` (the predictor failed or was late).
- A job by itself has `predicted_start_at` and `predicted_finish_at`, each with `_low_at` and `_high_at`, between which
  it starts (ends) with 80 % probability; lists do not have them. Where one is `null`, `eta_unknown_reason` says why:
  `paused`, `no_worker`, `not_due`, `blocked`, `limit` (one that lets no such job run), `too_far` (2,000 jobs of the
  organisation are ahead), `no_history`. `GET /analytics/eta-calibration` says how many jobs kept to it.
- `POST /predictor/predict` answers from the history in its body only; it does not look at jobs of the queue.
- A prediction without any history is `base x context factor`: base 400 ms for `http`, 1500 for `shell`, 3000 for `etl`,
  12000 for `ml`, 3000 for anything else; the factor lies between 0.7 and 1.3 and comes from the last three job types
  (`http` -0.1 each, `shell` -0.05, `etl` +0.05, `ml` +0.1). `priority = 1 / (1 + predicted_ms / 3000)`; 0.5 when no
  model is active.

| | path | what it does |
|---|---|---|
"""

API_TAIL = """\

Outside the schema: `/healthz` (the process is alive), `/readyz` (database and migrations), `/metrics` (Prometheus).
`/readyz` answers 200 with `{"status": "ready"}`, and `warnings` (objects with `code` and `message`) for what makes the
queue slow without stopping it: `old_snapshot` names the session that keeps dead rows from being removed,
`snapshots_unknown` that this could not be asked. What stops it is 503 with `missing` and the usual `error`.

"""

NIGHTLY_JOB = """\
## A nightly job

A script for cron (`0 2 * * * cd /srv/nightly && ./nightly.sh`): it submits the job of `nightly.json` once a day,
however often it is started, waits for its end and fails when the job does. `login.json` holds
`{"username": "...", "password": "..."}` and is readable by its user alone. Tokens expire, so the script logs in again
when it is refused.

```sh
#!/bin/sh
set -eu
url=${SMARTQUEUE_URL:-http://localhost:8000}
call() { curl --silent --show-error --fail --retry 5 --header 'Content-Type: application/json' "$@"; }
field() { python3 -c 'import json, sys; print(json.load(sys.stdin)[sys.argv[1]])' "$1"; }
log_in() { call "$url/auth/login" --data @login.json | field access_token; }
as_me() { call --header "Authorization: Bearer $token" "$@"; }

token=$(log_in)
id=$(as_me "$url/jobs/" --header "Idempotency-Key: nightly-$(date +%F)" --data @nightly.json | field id)
while :; do
    if job=$(as_me "$url/jobs/$id"); then
        status=$(printf %s "$job" | field status)
        case $status in
            done) exit 0 ;;
            failed | cancelled) echo "$url/dashboard/jobs/$id/ is $status" >&2; exit 1 ;;
        esac
    else
        token=$(log_in)
    fi
    sleep 5
done
```
"""


def drawn() -> dict[Path, str]:
    """{file: what it must contain}."""
    folder = settings.BASE_DIR / "docs"
    return {
        folder / "configuration.md": configuration(),
        folder / "states.md": states(),
        folder / "api.md": api(),
        folder / "roles.md": roles(),
    }


def configuration() -> str:
    return CONFIGURATION_HEAD + "".join(_row(variable) for _, variable in sorted(READ.items()))


def states() -> str:
    from jobs.states import MEANING, mermaid

    rows = "".join(f"| `{status}` | {meaning} |\n" for status, meaning in MEANING.items())
    return f"{STATES_HEAD}{rows}\n```mermaid\n{mermaid()}```\n{STATES_TAIL}"


def roles() -> str:
    from orgs.roles import MEANING, ROLES, SCOPES, WHILE_CLOSING

    head = "".join(f" `{role}` |" for role in ROLES)
    rows = [
        f"| `{action}` | {meaning} |" + "".join(f"{_allowed(role, action)} |" for role in ROLES) + "\n"
        for action, meaning in MEANING.items()
    ]
    table = f"{ROLES_HEAD}| action | what it is |{head}\n|---|---|{'---|' * len(ROLES)}\n" + "".join(rows)
    closing = "".join(
        f"- `{role}`: {', '.join(f'`{action}`' for action in MEANING if action in actions)}\n"
        for role, actions in WHILE_CLOSING.items()
    )
    return table + CLOSING_HEAD + closing + SCOPES_HEAD + "".join(_scope_row(scope) for scope in SCOPES)


def _allowed(role: str, action: str) -> str:
    from orgs.roles import may, may_if_org_allows

    if may(role, action):
        return " yes"
    return " if the organisation says so" if may_if_org_allows(role, action) else ""


def api() -> str:
    from drf_spectacular.generators import SchemaGenerator

    paths = SchemaGenerator().get_schema(request=None, public=True)["paths"]
    rows = [
        f"| {method.upper()} | `{path}` | {operation.get('summary', '')} |\n"
        for path, methods in sorted(paths.items())
        for method, operation in methods.items()
    ]
    return API_HEAD + "".join(rows) + API_TAIL + explain_docs.section() + NIGHTLY_JOB


def _scope_row(scope: str) -> str:
    from orgs.roles import MEANING, SCOPES

    actions = ", ".join(f"`{action}`" for action in MEANING if action in SCOPES[scope])
    return f"| `{scope}` | {actions} |\n"


def _row(variable: Variable) -> str:
    default = (
        f"`{variable.default}`" if variable.default and not variable.secret else variable.default or "none"
    )
    return f"| `{variable.name}` | {variable.accepts} | {default} | {variable.meaning} |\n"
