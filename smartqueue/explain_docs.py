"""The part of docs/api.md that says what GET /jobs/{id}/explain answers. Put into it by `smartqueue.generated_docs`."""

from __future__ import annotations

# Code, what it means, and the names of its facts.
REASONS = (
    ("not_due", "its `run_at`, or the delay before a retry, is not over", "until retry attempt attempts"),
    ("blocked", "it waits for the jobs that it depends on", ""),
    (
        "paused",
        "its queue, type or organisation is paused, or the platform",
        "scope queue type by_platform by since why",
    ),
    (
        "no_worker",
        "no live worker takes its type and serves its queue; `missing` is `all`, `type`, `queue` or `held`",
        "missing type queue live_workers",
    ),
    (
        "limit_running",
        "as many jobs run as a limit allows; `scope` is `org`, `queue` or `key`",
        "scope name running max_running",
    ),
    (
        "limit_rate",
        "as many jobs have begun as a limit allows",
        "scope name rate_count rate_period_s until",
    ),
    ("behind_own", "jobs of its organisation go first", "ahead capped"),
    (
        "share_used",
        "other organisations, which have received less for their weight, go first",
        "received_s weight lead_s other_organisations capped",
    ),
    (
        "workers_busy",
        "all slots of the workers that could take it are busy, as of their last heartbeat",
        "busy slots workers",
    ),
    ("next", "nothing is in its way", "busy slots workers"),
    (
        "running",
        "a worker has it",
        "since attempt attempts worker predicted_runtime_ms cancel_requested",
    ),
    ("ended", "nothing more happens to it", "status finished_at attempts"),
)

_HEAD = """\
## Why is my job waiting?

`GET /jobs/{id}/explain` answers with one `reason`, the first of these that applies, and `also` has those behind it that
would hold the job once the first is over. Each has a `message` for people and `facts` for programs.

| `code` | what it means | `facts` |
|---|---|---|
"""

_TAIL = """
Counts end at 1,000 jobs and 100 organisations; `capped` says that there are more. Jobs that rank before it but wait for
something that does not hold it (a paused queue, a limit of theirs, another kind of worker) are `held_back`, and not in
its way. Of other organisations only their number is told. The seconds of `rank.terms` add up to `rank.total`; after a
change of settings one of them, `earlier`, makes up the difference. `history` says which runs the prediction comes from
as of now: `base_ms x correction ^ trust`, held within the time limit, is `now.runtime_ms`.

A job that twelve others are ahead of (shortened; `share` and the rest of `also` are left out):

```json
{
  "job_id": 19, "status": "queued", "as_of": "2026-11-22T16:05:40.246435Z",
  "reason": {
    "code": "behind_own",
    "message": "12 jobs of your organisation are ahead of it.",
    "facts": {"ahead": 12, "capped": false}
  },
  "position": {
    "queue": "default", "lane": "normal", "in_the_way": 12, "in_the_way_capped": false,
    "held_back": 0, "held_back_capped": false
  },
  "rank": {
    "total": 1795413157.5747712, "due_at": "2026-11-22T16:05:39.616379Z",
    "terms": [
      {"name": "due", "seconds": 1795363539.616379, "meaning": "when it became due, as Unix time"},
      {"name": "predicted", "seconds": 128438.13073443864, "meaning": "patience 3000 x 43 s predicted"},
      {"name": "interval", "seconds": -4625.16577466084, "meaning": "it counts as 41 s by its 80 % interval, ..."},
      {"name": "lane", "seconds": 0.0, "meaning": "credit of lane normal"},
      {"name": "cap", "seconds": -74195.00656754745, "meaning": "taken off, so that later jobs go first ..."}
    ]
  },
  "prediction": {
    "runtime_ms": 42812.71, "low_ms": 21260.16, "high_ms": 86214.21, "prediction_source": "base", "model_version": 1,
    "changed": false,
    "history": {
      "circle": "runs of this name by this submitter", "runs": 5, "recent": 5, "median_ms": 41000.0,
      "newest_at": "2026-11-22T16:02:59.075668Z", "base_ms": 42812.71, "correction": 1.0, "trust": 0.0,
      "now": {
        "runtime_ms": 42812.71, "low_ms": 21260.16, "high_ms": 86214.21, "prediction_source": "base",
        "model_version": 1
      }
    }
  }
}
```

"""


def section() -> str:
    """In Markdown."""
    rows = "".join(
        f"| `{code}` | {meaning} | {', '.join(f'`{name}`' for name in facts.split())} |\n"
        for code, meaning, facts in REASONS
    )
    return _HEAD + rows + _TAIL
