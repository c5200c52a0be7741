"""Pausing, telling workers what to do and replaying from the pages: who is offered what, and what it does."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from jobs import control, replay_page_selectors, replays
from jobs.models import Job, Pause, Replay, Worker
from orgs.models import Organization, User
from tests.jobs_api.conftest import claim, finish, write_lines
from tests.pages.conftest import Browse

Submit = Callable[..., Job]
PAUSE, REPLAYS, DEAD = "/dashboard/pauses/new/", "/dashboard/replays/new/", "/dashboard/?status=failed"


@pytest.fixture
def dead(bob: User, submit: Submit) -> Job:
    job = claim(submit(bob, name="report", tags=["nightly"], max_retries=0))
    write_lines(job, 1, "reading", "cannot read the ledger")
    return finish(job, "failed", error="ledger is locked")


@pytest.fixture
def worker(db: None) -> Worker:
    return Worker.objects.create(
        worker_id="w1", hostname="node-7", pid=42, concurrency=4, types=["http"], queues=["mail"]
    )


class TestPauses:
    def test_an_org_admin_pauses_and_resumes(self, browse: Browse, alice: User, bob: User) -> None:
        client = browse(alice)
        assert PAUSE in client.get("/dashboard/").text
        form = client.get(PAUSE)
        assert 'name="queue"' in form.text
        assert 'name="org"' not in form.text
        client.post(PAUSE, {"queue": "mail", "type": "", "reason": "the relay is down"})
        pause = Pause.objects.get()
        assert (pause.org_id, pause.queue, pause.type) == (alice.org_id, "mail", None)
        for person, path in ((bob, "/dashboard/"), (alice, "/dashboard/workers/")):
            page = browse(person).get(path).text
            assert "queue mail</strong>: the relay is down" in page
            assert "by alice" in page
        resume = f"/dashboard/pauses/{pause.pk}/resume/"
        assert resume in client.get("/dashboard/").text
        assert "Resume queue mail?" in client.get(resume).text
        assert client.post(resume).status_code == 302
        assert not Pause.objects.exists()

    def test_others_see_it_without_a_button(
        self, browse: Browse, alice: User, bob: User, charlie: User
    ) -> None:
        pause = Pause.objects.create(org=alice.org, reason="of acme")
        page = browse(bob).get("/dashboard/").text
        assert "of acme" in page
        assert f"/pauses/{pause.pk}/" not in page
        assert PAUSE not in page
        assert browse(bob).get(PAUSE).status_code == 403
        assert browse(bob).post(f"/dashboard/pauses/{pause.pk}/resume/").status_code == 403
        assert "of acme" not in browse(charlie).get("/dashboard/").text
        assert browse(charlie).post(f"/dashboard/pauses/{pause.pk}/resume/").status_code == 404
        assert Pause.objects.get() == pause

    def test_a_platform_admin_chooses_whom(
        self, browse: Browse, root_admin: User, globex: Organization, alice: User
    ) -> None:
        client = browse(root_admin)
        assert "The whole platform" in client.get(PAUSE).text
        client.post(PAUSE, {"reach": "one", "org": globex.name, "queue": "", "type": "ml", "reason": ""})
        client.post(
            PAUSE, {"reach": "platform", "org": "", "queue": "", "type": "", "reason": "moving the database"}
        )
        assert set(Pause.objects.values_list("org", "type")) == {(globex.pk, "ml"), (None, None)}
        assert "of Globex" in client.get("/dashboard/").text
        page = browse(alice).get("/dashboard/").text
        assert "the whole platform</strong>: moving the database" in page
        assert "by the platform" in page
        assert "root_admin" not in page
        assert "/resume/" not in page

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({}, "This field is required."),
            ({"reach": "one"}, "Expected the name of an organisation."),
            ({"reach": "one", "org": "Initech"}, "There is no organisation of this name."),
            ({"reach": "platform", "org": "Globex"}, "Leave this empty"),
        ],
    )
    def test_a_platform_admin_pauses_nothing_by_leaving_fields_empty(
        self, browse: Browse, root_admin: User, globex: Organization, values: dict[str, str], words: str
    ) -> None:
        answer = browse(root_admin).post(PAUSE, {"queue": "", "type": "", "reason": "", **values})
        assert answer.status_code == 422
        assert words in answer.text
        assert globex.name not in browse(root_admin).get(PAUSE).text
        assert not Pause.objects.exists()

    def test_no_room_for_more_is_told(
        self, browse: Browse, alice: User, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(control, "MOST_PAUSES", 1)
        Pause.objects.create(org=alice.org, queue="mail")
        answer = browse(alice).post(PAUSE, {"queue": "other", "type": "", "reason": ""})
        assert answer.status_code == 422
        assert "no room for more" in answer.text

    def test_a_pause_that_one_may_not_end_is_not_asked_for(self, browse: Browse, alice: User) -> None:
        pause = Pause.objects.create(org=None)
        answer = browse(alice).get(f"/dashboard/pauses/{pause.pk}/resume/")
        assert answer.headers["Location"] == "/dashboard/"

    def test_an_org_admin_cannot_name_another_organisation(
        self, browse: Browse, alice: User, globex: Organization
    ) -> None:
        browse(alice).post(PAUSE, {"org": globex.pk, "queue": "", "type": "", "reason": ""})
        assert Pause.objects.get().org_id == alice.org_id

    def test_a_queue_that_cannot_be_is_told(self, browse: Browse, alice: User) -> None:
        answer = browse(alice).post(PAUSE, {"queue": "a b", "type": "", "reason": ""})
        assert answer.status_code == 422
        assert "Expected 1 to 60 letters" in answer.text


class TestWorkers:
    def test_everybody_sees_what_each_takes_and_is_to_do(
        self, browse: Browse, vera: User, worker: Worker
    ) -> None:
        Worker.objects.update(wanted="pause")
        page = browse(vera).get("/dashboard/workers/").text
        assert "queues mail; types http" in page
        assert 'badge-paused">paused<' in page
        assert "/dashboard/workers/w1/" not in page

    @pytest.mark.parametrize(("verb", "wanted"), [("pause", "pause"), ("drain", "drain"), ("resume", "run")])
    def test_a_platform_admin_tells_them(
        self, browse: Browse, root_admin: User, worker: Worker, verb: str, wanted: str
    ) -> None:
        if verb == "resume":
            Worker.objects.update(wanted="pause")
        client, path = browse(root_admin), f"/dashboard/workers/w1/{verb}/"
        assert path in client.get("/dashboard/workers/").text
        assert "node-7:42" in client.get(path).text
        assert client.post(path).status_code == 302
        assert Worker.objects.get().wanted == wanted

    def test_nobody_else_does(self, browse: Browse, alice: User, worker: Worker) -> None:
        assert browse(alice).get("/dashboard/workers/w1/drain/").status_code == 403
        assert browse(alice).post("/dashboard/workers/w1/drain/").status_code == 403
        assert Worker.objects.get().wanted == "run"

    def test_one_that_drains_is_offered_nothing_more(
        self, browse: Browse, root_admin: User, worker: Worker
    ) -> None:
        Worker.objects.update(wanted="drain")
        page = browse(root_admin).get("/dashboard/workers/").text
        assert 'badge-paused">draining<' in page
        assert "/dashboard/workers/w1/" not in page
        assert browse(root_admin).post("/dashboard/workers/w1/pause/").status_code == 409
        for verb in ("pause", "resume", "drain"):
            answer = browse(root_admin).get(f"/dashboard/workers/w1/{verb}/")
            assert answer.headers["Location"] == "/dashboard/workers/"

    def test_one_that_runs_is_not_asked_to_run(
        self, browse: Browse, root_admin: User, worker: Worker
    ) -> None:
        assert browse(root_admin).get("/dashboard/workers/w1/resume/").status_code == 302
        assert browse(root_admin).get("/dashboard/workers/w1/pause/").status_code == 200


class TestDeadLetters:
    def test_the_list_tells_error_attempts_worker_and_time(
        self, browse: Browse, bob: User, dead: Job
    ) -> None:
        page = browse(bob).get(DEAD).text
        assert '<th scope="col">Error</th>' in page
        assert "ledger is locked" in page
        assert 'data-label="Attempts" class="number">1<' in page
        assert "worker-u" in page
        assert "just now" in page
        assert '<th scope="col">Error</th>' not in browse(bob).get("/dashboard/").text

    def test_the_job_tells_how_the_output_of_each_attempt_ended(
        self, browse: Browse, bob: User, dead: Job
    ) -> None:
        page = browse(bob).get(f"/dashboard/jobs/{dead.pk}/").text
        attempts = page.partition('id="job-attempts"')[2].partition("</section>")[0]
        assert '<details id="tail-1" open>' in attempts
        assert "cannot read the ledger" in attempts
        assert "ledger is locked" in attempts

    def test_a_job_is_replayed(self, browse: Browse, bob: User, dead: Job) -> None:
        client, path = browse(bob), f"/dashboard/jobs/{dead.pk}/replay/"
        assert path in client.get(f"/dashboard/jobs/{dead.pk}/").text
        assert f"Job {dead.pk} is failed" in client.get(path).text
        answer = client.post(path)
        made = Job.objects.get(replay_of=dead)
        assert answer.headers["Location"] == f"/dashboard/jobs/{made.pk}/"
        assert f'id="origin" href="/dashboard/jobs/{dead.pk}/"' in client.get(answer.headers["Location"]).text
        assert (
            f'href="/dashboard/jobs/{made.pk}/">#{made.pk}</a>'
            in client.get(f"/dashboard/jobs/{dead.pk}/").text
        )
        assert f'id="replay-of-{dead.pk}" href="/dashboard/jobs/{made.pk}/"' in client.get(DEAD).text
        assert client.post(path).status_code == 409

    def test_only_who_may_is_offered_it(self, browse: Browse, vera: User, charlie: User, dead: Job) -> None:
        path = f"/dashboard/jobs/{dead.pk}/replay/"
        assert path not in browse(vera).get(f"/dashboard/jobs/{dead.pk}/").text
        assert browse(vera).post(path).status_code == 403
        assert browse(charlie).get(path).status_code == browse(charlie).post(path).status_code == 404
        assert Job.objects.count() == 1

    def test_an_unfinished_job_has_no_button(self, browse: Browse, bob: User, submit: Submit) -> None:
        job = submit(bob)
        assert "/replay/" not in browse(bob).get(f"/dashboard/jobs/{job.pk}/").text
        answer = browse(bob).get(f"/dashboard/jobs/{job.pk}/replay/")
        assert answer.headers["Location"] == f"/dashboard/jobs/{job.pk}/"

    def test_one_that_is_being_replayed_has_none_either(self, browse: Browse, bob: User, dead: Job) -> None:
        path = f"/dashboard/jobs/{dead.pk}/replay/"
        browse(bob).post(path)
        assert path not in browse(bob).get(f"/dashboard/jobs/{dead.pk}/").text
        assert browse(bob).get(path).headers["Location"] == f"/dashboard/jobs/{dead.pk}/"

    def test_the_list_names_the_latest_replay(self, browse: Browse, bob: User, dead: Job) -> None:
        first = replays.replay(job=dead, user=bob)
        finish(claim(first), "failed")
        latest = replays.replay(job=dead, user=bob)
        page = browse(bob).get(DEAD).text
        assert f'id="replay-of-{dead.pk}" href="/dashboard/jobs/{latest.pk}/"' in page


class TestBulkReplays:
    def test_from_the_list_to_the_progress_and_its_end(self, browse: Browse, alice: User, dead: Job) -> None:
        client = browse(alice)
        link = f"{REPLAYS}?type=python&amp;queue=default&amp;tag=nightly&amp;name=rep"
        assert link in client.get(f"{DEAD}&type=python&q=rep&queue=default&tag=nightly").text
        form = client.get(link.replace("&amp;", "&")).text
        assert "<strong>1</strong> job matches" in form
        for name, value in (("name", "rep"), ("queue", "default"), ("tag", "nightly")):
            assert f'name="{name}" value="{value}"' in form
        answer = client.post(REPLAYS, {"name": "rep", "type": "python", "rate_per_s": "5", "step": "start"})
        assert answer.headers["Location"] == DEAD
        replay = Replay.objects.get()
        assert (replay.filter, replay.rate_per_s) == (
            {"status": "failed", "type": "python", "name": "rep"},
            5,
        )
        page = client.get(DEAD).text
        assert f"<strong>0</strong> replayed, of the jobs up to {dead.pk}, at most 5 per second" in page
        assert "dead letters, type python, name contains rep" in page
        end = f"/dashboard/replays/{replay.pk}/cancel/"
        assert end in page
        assert f"End replay {replay.pk}?" in client.get(end).text
        assert client.post(end).status_code == 302
        assert client.get(end).headers["Location"] == DEAD
        assert "cancelled: <strong>0</strong> replayed" in client.get(DEAD).text

    def test_counting_starts_nothing(self, browse: Browse, alice: User, dead: Job) -> None:
        values = {"error_contains": "other", "rate_per_s": "5", "step": "count"}
        answer = browse(alice).post(REPLAYS, values)
        assert answer.status_code == 200
        assert "<strong>0</strong> jobs match now" in answer.text
        assert not Replay.objects.exists()

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"rate_per_s": "0"}, "greater than or equal to 0.1"),
            ({"finished_after": "2030-01-02T00:00", "finished_before": "2030-01-01T00:00"}, "Must be later"),
        ],
    )
    def test_what_cannot_be_used_is_told(
        self, browse: Browse, alice: User, values: dict[str, str], words: str
    ) -> None:
        answer = browse(alice).post(REPLAYS, {"rate_per_s": "1", "step": "start", **values})
        assert answer.status_code == 422
        assert words in answer.text
        assert not Replay.objects.exists()

    def test_only_org_admins_and_not_across_organisations(
        self, browse: Browse, alice: User, bob: User, charlie: User, dead: Job
    ) -> None:
        assert REPLAYS not in browse(bob).get(DEAD).text
        assert browse(bob).post(REPLAYS, {"rate_per_s": "1"}).status_code == 403
        replay = Replay.objects.create(
            org=alice.org, rate_per_s=1, up_to_job_id=dead.pk, filter={"name": "acme"}
        )
        assert "acme" not in browse(charlie).get(DEAD).text
        end = f"/dashboard/replays/{replay.pk}/cancel/"
        assert browse(charlie).get(end).status_code == browse(charlie).post(end).status_code == 404
        assert browse(bob).post(end).status_code == 403
        assert "<strong>0</strong> jobs match" in browse(charlie).get(REPLAYS).text

    def test_a_platform_admin_says_whose(
        self, browse: Browse, root_admin: User, alice: User, dead: Job
    ) -> None:
        client = browse(root_admin)
        assert REPLAYS in client.get(DEAD).text
        assert 'name="org"' in client.get(REPLAYS).text
        assert client.post(REPLAYS, {"rate_per_s": "1"}).status_code == 422
        values = {"rate_per_s": "1", "org": "Acme"}
        assert "<strong>1</strong> job matches" in client.post(REPLAYS, {**values, "step": "count"}).text
        assert client.post(REPLAYS, values).headers["Location"] == DEAD
        assert Replay.objects.get().org_id == alice.org_id
        assert 'name="org"' not in browse(alice).get(REPLAYS).text

    def test_the_one_at_work_is_shown_however_many_wait(self, browse: Browse, alice: User) -> None:
        made = [
            Replay.objects.create(org=alice.org, rate_per_s=1, up_to_job_id=9, last_job_id=4)
            for _ in range(22)
        ]
        page = browse(alice).get(DEAD).text
        shown = page.partition('id="replays"')[2].partition("</section>")[0]
        assert shown.count("waits for the replay before it") == 19
        assert f"replay {made[0].pk}</span>" in shown
        assert "<strong>0</strong> replayed, at job 4 of those up to 9" in shown
        assert "And 2 more that wait" in shown

    def test_no_page_counts_what_is_left(
        self, browse: Browse, alice: User, dead: Job, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        replays.start(org=None, user=alice, wanted=replays.ReplayFilter())
        monkeypatch.delattr(replays, "to_replay")
        assert "<strong>0</strong> replayed" in browse(alice).get(DEAD).text

    @pytest.mark.parametrize(
        ("stored", "words"),
        [
            ({"status": "failed"}, "all dead letters"),
            ({"status": "cancelled"}, "all cancelled jobs"),
            ({"status": "cancelled", "queue": "mail"}, "cancelled jobs, queue mail"),
            (
                {"status": "failed", "finished_before": "2030-01-02T03:04:05+01:00"},
                "dead letters, ended before 02 Jan 2030 02:04:05 UTC",
            ),
        ],
    )
    def test_a_filter_in_words(self, stored: dict[str, str], words: str) -> None:
        assert replay_page_selectors.filter_words(stored) == words
