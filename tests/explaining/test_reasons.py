"""Each reason for which a job waits, as the database tells it, and which one comes first."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from jobs import ahead, claims, control, leases, reasons, services, standing
from jobs.limit_models import EVERY_KEY, KEY, KEY_RUNNING, ORG, QUEUE, Gate, Limit, Share
from jobs.models import Job, Pause, Worker
from jobs.payloads import JOB_TYPES
from jobs.reasons import CODES
from orgs.models import Organization, User
from tests.explaining.conftest import DOCUMENTED, Explain, Submit, codes

pytestmark = pytest.mark.django_db

SHELL = {"type": "shell", "payload": {"command": "true"}}
LATER = {"run_at": "2100-01-01T00:00:00Z"}


def claim(limit: int = 1) -> list[claims.Claimed]:
    return claims.claim(worker_id="w1", types=JOB_TYPES, limit=limit, lease_s=60)


def gate(org: Organization, scope: str, name: str = "", **values: Any) -> None:
    Gate.objects.update_or_create(org=org, scope=scope, name=name, defaults=values)


def limit(org: Organization, scope: str, name: str = "", **values: Any) -> None:
    Limit.objects.create(org=org, scope=scope, name=name, **values)


def test_nothing_in_the_way(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    answer = explain(bob, submit(bob))
    assert codes(answer) == ["next"]
    assert answer["reason"]["facts"] == {"busy": 0, "slots": 2, "workers": 1}
    assert answer["position"]["in_the_way"] == answer["position"]["held_back"] == 0


def test_not_due(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    answer = explain(bob, submit(bob, **LATER))
    assert codes(answer) == ["not_due"]
    assert answer["reason"]["facts"]["until"] == LATER["run_at"]
    assert answer["reason"]["facts"]["retry"] is False
    assert answer["reason"]["message"] == "It is not due yet: until 01 Jan 00:00:00 UTC."
    assert (answer["position"], answer["share"]) == (None, None)


def test_a_retry_says_so(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    job = submit(bob, max_retries=3)
    (claimed,) = claim()
    ended = claims.Finish(job.pk, claimed.attempt, "failed", 5.0, error="no", retry_delay_s=500.0)
    assert leases.finish(worker_id="w1", ended=[ended])
    reason = explain(bob, job)["reason"]
    assert reason["message"].startswith("It waits for attempt 2 of 4: until ")
    assert (reason["facts"]["retry"], reason["facts"]["attempt"], reason["facts"]["attempts"]) == (True, 2, 4)


def test_due_and_not_queued_yet(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    job = submit(bob, **LATER)
    Job.objects.update(run_at=timezone.now() - timedelta(seconds=1))
    assert "about to queue it" in explain(bob, job)["reason"]["message"]


def test_blocked(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    job = submit(bob)
    Job.objects.update(status="blocked")
    assert codes(explain(bob, job)) == ["blocked"]


def test_paused_by_the_own_side(
    explain: Explain, alice: User, bob: User, submit: Submit, worker: Worker
) -> None:
    job = submit(bob, **SHELL)
    control.pause(user=alice, queue="elsewhere")
    control.pause(user=alice, queue="default", type="shell", reason="a release")
    answer = explain(bob, job)
    assert codes(answer) == ["paused"]
    assert "by alice: queue default, type shell (a release)." in answer["reason"]["message"]
    facts = answer["reason"]["facts"]
    assert {name: facts[name] for name in ("queue", "type", "by", "by_platform", "why")} == {
        "queue": "default",
        "type": "shell",
        "by": "alice",
        "by_platform": False,
        "why": "a release",
    }
    since = parse_datetime(facts["since"])
    assert since is not None
    assert timedelta(0) <= timezone.now() - since < timedelta(minutes=1)


def test_paused_by_the_platform(
    explain: Explain, root_admin: User, bob: User, submit: Submit, worker: Worker
) -> None:
    job = submit(bob)
    control.pause(user=root_admin, org=None, type="python")
    reason = explain(bob, job)["reason"]
    assert (reason["code"], reason["facts"]["by_platform"]) == ("paused", True)
    assert (reason["facts"]["by"], "root_admin" in str(reason)) == ("the platform", False)


@pytest.mark.parametrize(
    ("fields", "missing", "words"),
    [
        ({"status": "stopped"}, "all", "No worker is at work."),
        ({"last_seen": timezone.now() - timedelta(hours=1)}, "all", "No worker is at work."),
        ({"types": ["http"]}, "type", "None of 1 worker takes jobs of type python."),
        ({"queues": ["mail"]}, "queue", "No worker that takes type python serves the queue default."),
        ({"wanted": "pause"}, "held", "Every worker that could take it is paused or about to end."),
        ({"wanted": "drain"}, "held", "Every worker that could take it is paused or about to end."),
    ],
)
def test_no_worker(
    explain: Explain, bob: User, submit: Submit, worker: Worker,
    fields: dict[str, Any], missing: str, words: str,
) -> None:  # fmt: skip
    Worker.objects.update(**fields)
    reason = explain(bob, submit(bob))["reason"]
    assert (reason["code"], reason["message"], reason["facts"]["missing"]) == ("no_worker", words, missing)


def test_jobs_of_one_key_run_one_at_a_time(
    explain: Explain, bob: User, submit: Submit, worker: Worker
) -> None:
    submit(bob, concurrency_key="invoices")
    waiting = submit(bob, concurrency_key="invoices")
    other = submit(bob, concurrency_key="letters")
    assert len(claim()) == 1
    answer = explain(bob, waiting)
    assert codes(answer) == ["limit_running"]
    assert answer["reason"]["facts"] == {
        "scope": "key",
        "name": "invoices",
        "running": 1,
        "max_running": 1,
    }
    assert answer["reason"]["message"] == (
        "The concurrency key invoices may run 1 job at once, and 1 is running."
    )
    answer = explain(bob, other)
    assert codes(answer) == ["next"]
    assert (answer["position"]["in_the_way"], answer["position"]["held_back"]) == (0, 1)


@pytest.mark.parametrize("name", ["invoices", EVERY_KEY])
def test_a_limit_of_a_key_stands_in_for_the_default(
    explain: Explain, acme: Organization, bob: User, submit: Submit, worker: Worker, name: str
) -> None:
    job = submit(bob, concurrency_key="invoices")
    limit(acme, KEY, name, max_running=3)
    gate(acme, KEY, "invoices", running=2)
    assert codes(explain(bob, job)) == ["next"]
    gate(acme, KEY, "invoices", running=3)
    assert explain(bob, job)["reason"]["facts"]["max_running"] == 3


@pytest.mark.parametrize(
    ("scope", "name", "words"),
    [
        (ORG, "", "Your organisation may run 5 jobs at once, and 5 are running."),
        (QUEUE, "default", "The queue default may run 5 jobs at once, and 5 are running."),
    ],
)
def test_a_limit_of_running_jobs(
    explain: Explain, acme: Organization, bob: User, submit: Submit, worker: Worker,
    scope: str, name: str, words: str,
) -> None:  # fmt: skip
    job = submit(bob)
    limit(acme, scope, name, max_running=5)
    assert codes(explain(bob, job)) == ["next"]
    gate(acme, scope, name, running=5)
    answer = explain(bob, job)
    assert codes(answer) == ["limit_running"]
    assert answer["reason"]["message"] == words
    Limit.objects.update(max_running=6)
    assert codes(explain(bob, job)) == ["next"]


def test_a_rate_says_when_the_next_may_begin(
    explain: Explain, acme: Organization, bob: User, submit: Submit, worker: Worker
) -> None:
    job = submit(bob, queue="mail")
    limit(acme, QUEUE, "mail", rate_count=6, rate_period_s=3600)
    gate(acme, QUEUE, "mail", tokens=None)
    assert codes(explain(bob, job)) == ["next"]
    gate(acme, QUEUE, "mail", tokens=0.25, tokens_at=timezone.now())
    answer = explain(bob, job)
    assert codes(answer) == ["limit_rate"]
    facts = answer["reason"]["facts"]
    until = parse_datetime(facts["until"])
    assert until is not None
    assert timedelta(minutes=7) < until - timezone.now() <= timedelta(minutes=7.5)
    assert (facts["scope"], facts["name"], facts["rate_count"], facts["rate_period_s"]) == (
        "queue",
        "mail",
        6,
        3600.0,
    )
    assert answer["reason"]["message"].startswith("The queue mail may begin 6 jobs in 1 h: the next at ")
    gate(acme, QUEUE, "mail", tokens=0.25, tokens_at=timezone.now() - timedelta(minutes=8))
    assert codes(explain(bob, job)) == ["next"]


def test_behind_jobs_of_its_own_organisation(
    explain: Explain, bob: User, alice: User, charlie: User, submit: Submit, worker: Worker
) -> None:
    before = [submit(alice), submit(bob, **SHELL)]
    submit(charlie)
    job = submit(bob, lane="low")
    submit(bob, **LATER)
    assert [one.rank < job.rank for one in before] == [True, True]
    answer = explain(bob, job)
    assert codes(answer) == ["behind_own"]
    assert answer["reason"]["facts"] == {"ahead": 2, "capped": False}
    assert answer["reason"]["message"] == "2 jobs of your organisation are ahead of it."
    assert answer["position"]["lane"] == "low"
    assert codes(explain(bob, submit(bob, lane="high"))) == ["next"]


def test_who_waits_for_something_else_is_not_in_the_way(
    explain: Explain, alice: User, bob: User, submit: Submit, worker: Worker
) -> None:
    """Paused, of a type that another worker takes, and with a key that is taken."""
    submit(bob, concurrency_key="taken")
    assert len(claim()) == 1
    submit(bob, concurrency_key="taken")
    submit(bob, queue="slow")
    submit(bob, type="http", payload={"url": "http://127.0.0.1/"})
    control.pause(user=alice, queue="slow")
    job = submit(bob, lane="low")
    answer = explain(bob, job)
    assert codes(answer) == ["next"]
    assert (answer["position"]["in_the_way"], answer["position"]["held_back"]) == (0, 3)


def test_who_waits_for_the_same_is_in_the_way_all_the_same(
    explain: Explain, alice: User, bob: User, submit: Submit, worker: Worker
) -> None:
    submit(bob)
    job = submit(bob)
    control.pause(user=alice)
    answer = explain(bob, job)
    assert codes(answer) == ["paused", "behind_own"]
    assert answer["also"][0]["message"] == "1 job of your organisation is ahead of it."


def test_counting_ends(
    explain: Explain, bob: User, submit: Submit, worker: Worker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ahead, "MOST_AHEAD", 2)
    for fields in ({}, {}, SHELL):
        submit(bob, **fields)
    answer = explain(bob, submit(bob, lane="low"))
    assert answer["reason"]["facts"] == {"ahead": 2, "capped": True}
    assert answer["reason"]["message"] == "More than 2 jobs of your organisation are ahead of it."


def test_the_share_is_used(
    explain: Explain, acme: Organization, globex: Organization, bob: User, charlie: User, submit: Submit,
    worker: Worker,
) -> None:  # fmt: skip
    job = submit(bob)
    Organization.objects.filter(pk=acme.pk).update(weight=2)
    Share.objects.create(org=acme, recent_s=120.0, lead_s=30.0)
    Share.objects.create(org=globex, recent_s=7777.0, lead_s=0.0)
    assert codes(explain(bob, job)) == ["next"]
    for fields in ({}, {}):
        submit(charlie, name="globex-secret", **fields)
    answer = explain(bob, job)
    assert codes(answer) == ["share_used"]
    facts = answer["reason"]["facts"]
    assert (facts["other_organisations"], facts["capped"], facts["weight"]) == (1, False, 2.0)
    assert (facts["received_s"], facts["lead_s"]) == (
        pytest.approx(120, rel=0.01),
        pytest.approx(30, rel=0.01),
    )
    assert answer["reason"]["message"].startswith(
        "1 other organisation has jobs queued, and your organisation"
    )
    assert "globex" not in str(answer).lower()
    assert "7777" not in str(answer)


def test_what_a_share_was_long_ago_is_forgotten_by_half(
    explain: Explain, acme: Organization, bob: User, submit: Submit, worker: Worker, settings: Any
) -> None:
    hour_ago = timezone.now() - timedelta(hours=1)
    settings.SHARE_HALF_LIFE_S = 3600
    Share.objects.create(org=acme, recent_s=100.0, lead_s=-5.0, as_of=hour_ago)
    share = explain(bob, submit(bob))["share"]
    assert (share["received_s"], share["lead_s"]) == (pytest.approx(50, rel=0.01), 0.0)


def test_other_organisations_are_counted_up_to_a_limit(
    explain: Explain,
    bob: User,
    charlie: User,
    submit: Submit,
    worker: Worker,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ahead, "MOST_OTHERS", 1)
    submit(charlie)
    initech = Organization.objects.create(name="Initech")
    services.submit(org=initech, user=None, name="x", type="python", payload={"function": "noop"})
    share = explain(bob, submit(bob))["share"]
    assert (share["others"], share["others_capped"]) == (1, True)


def test_all_workers_are_busy(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    Worker.objects.update(running=40)  # and claimed ahead
    Worker.objects.create(worker_id="w2", hostname="h", pid=1, concurrency=4, types=["http"])
    answer = explain(bob, submit(bob))
    assert codes(answer) == ["workers_busy"]
    assert answer["reason"]["facts"] == {"busy": 2, "slots": 2, "workers": 1}
    assert answer["reason"]["message"] == "All 2 slots of the worker that could take it are busy."
    Worker.objects.create(worker_id="w3", hostname="h", pid=2, concurrency=1, types=["python"])
    assert codes(explain(bob, submit(bob, lane="high"))) == ["next"]


def test_running(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    job = submit(bob)
    assert len(claim()) == 1
    services.cancel(job=Job.objects.get(), user=bob)
    answer = explain(bob, job)
    assert codes(answer) == ["running"]
    facts = answer["reason"]["facts"]
    assert (facts["attempt"], facts["worker"], facts["cancel_requested"]) == (1, "w1", True)
    assert "It was asked to stop." in answer["reason"]["message"]
    assert (answer["position"], answer["share"]) == (None, None)


def test_ended(explain: Explain, bob: User, submit: Submit, worker: Worker) -> None:
    job = submit(bob)
    services.cancel(job=job, user=bob)
    answer = explain(bob, job)
    assert codes(answer) == ["ended"]
    assert answer["reason"]["facts"]["status"] == "cancelled"
    assert answer["reason"]["message"].startswith("It was cancelled on ")
    assert answer["prediction"]["history"] is None


def test_the_first_reason_is_the_one_that_holds_it_whatever_else_is_over(
    explain: Explain,
    acme: Organization,
    alice: User,
    bob: User,
    charlie: User,
    submit: Submit,
    worker: Worker,
) -> None:
    """All at once, then one gone after the other."""
    submit(bob, concurrency_key="k")
    job = submit(bob, concurrency_key="k")
    submit(charlie)
    Share.objects.create(org=acme, recent_s=120.0, lead_s=30.0)
    gate(acme, KEY, "k", running=1)
    limit(acme, ORG, rate_count=1, rate_period_s=3600)
    gate(acme, ORG, tokens=0.0, tokens_at=timezone.now())
    control.pause(user=alice)
    Worker.objects.update(running=2, wanted="pause")
    order = ["paused", "no_worker", "limit_running", "limit_rate", "behind_own", "share_used", "workers_busy"]
    assert codes(explain(bob, job)) == order[:-1]  # with no worker there is none that is busy
    Worker.objects.update(wanted="run")
    assert codes(explain(bob, job)) == [order[0], *order[2:]]
    for gone in (
        lambda: control.resume(user=alice, pause=Pause.objects.get()),
        lambda: gate(acme, KEY, "k", running=0),
        lambda: gate(acme, ORG, tokens=None),
        lambda: services.cancel(job=Job.objects.filter(org=acme).earliest("pk"), user=bob),
        lambda: Share.objects.all().delete(),
        lambda: Worker.objects.update(running=0),
    ):
        gone()
        order = [code for code in order[1:] if code != "no_worker"]
        assert codes(explain(bob, job)) == (order or ["next"])


def test_all_are_documented_in_the_order_in_which_they_are_looked_for() -> None:
    assert tuple(DOCUMENTED) == CODES
    assert [find.__name__.strip("_") for find in reasons.REASONS] == list(CODES[:9])


def test_the_pure_part_has_the_words_of_the_tables() -> None:
    assert (standing.ORG, standing.QUEUE, standing.KEY) == (ORG, QUEUE, KEY)
    assert (standing.EVERY_KEY, standing.KEY_RUNNING) == (EVERY_KEY, KEY_RUNNING)
