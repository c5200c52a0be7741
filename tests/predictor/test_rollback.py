"""`manage.py rollback_model`, and putting versions in force by hand."""

from __future__ import annotations

from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from jobs.prediction import PredictionRequest
from orgs.models import AuditEntry, Organization, User
from predictor import retraining, service, store, versions
from predictor.models import ModelVersion
from tests.predictor.builders import alternating_history
from tests.predictor.conftest import LogRuns
from tests.predictor.packed import weights

pytestmark = pytest.mark.django_db


def rollback(*arguments: str) -> str:
    said = StringIO()
    call_command("rollback_model", *arguments, stdout=said)
    return said.getvalue()


def active() -> list[int]:
    return list(ModelVersion.objects.filter(active=True).values_list("pk", flat=True))


@pytest.fixture
def chain(cold_start: ModelVersion) -> list[ModelVersion]:
    """The cold start and two networks after it, the last one in force."""
    first = ModelVersion.objects.create(kind="lstm", weights=weights(1), parent=cold_start, trained_on=400)
    second = ModelVersion.objects.create(kind="lstm", weights=weights(2), parent=first, origin="online")
    store.activate(second)
    return [cold_start, first, second]


def test_the_parent_comes_back_in_force_and_answers(chain: list[ModelVersion], acme: Organization) -> None:
    wanted = [PredictionRequest(acme.pk, "etl", "nightly")]
    assert service.predict(wanted)[0].model_version == chain[2].pk
    assert rollback().startswith(f"Version {chain[1].pk} (lstm) is in force and stays so; ")
    assert active() == [chain[1].pk]
    assert service.predict(wanted)[0].model_version == chain[1].pk
    rollback()
    assert active() == [chain[0].pk]


def test_what_was_put_in_force_by_hand_stays_until_it_is_released(
    chain: list[ModelVersion], acme: Organization, log_runs: LogRuns
) -> None:
    rollback(str(chain[0].pk))
    log_runs(acme, alternating_history(400))
    report = retraining.retrain(seed=1)
    assert report.version is not None
    assert "put in force by hand" in report.verdict
    assert active() == [chain[0].pk]
    assert rollback("--release") == f"Better versions may replace version {chain[0].pk} (cold_start).\n"
    report = retraining.retrain(seed=1)
    assert report.version is not None
    assert active() == [report.version.pk]
    assert AuditEntry.objects.filter(action="model.release").count() == 1


def test_a_version_by_its_number(chain: list[ModelVersion]) -> None:
    rollback(str(chain[0].pk))
    assert active() == [chain[0].pk]
    said = rollback(str(chain[0].pk))
    assert "was in force already; nothing was changed" in said
    assert AuditEntry.objects.filter(action="model.activate").count() == 1


def test_it_is_noted(chain: list[ModelVersion]) -> None:
    rollback()
    (entry,) = AuditEntry.objects.filter(action="model.activate")
    assert (entry.org, entry.user, entry.actor) == (None, None, "system")
    assert entry.target == str(chain[1])
    assert entry.details == {"from": chain[2].pk, "to": chain[1].pk}


def test_without_a_parent_there_is_nothing_to_go_back_to(cold_start: ModelVersion) -> None:
    with pytest.raises(CommandError, match=f"Version {cold_start.pk}, which is in force, has no parent"):
        rollback()


def test_with_none_in_force_one_must_be_named(chain: list[ModelVersion]) -> None:
    ModelVersion.objects.update(active=False)
    with pytest.raises(CommandError, match="No model version is in force"):
        rollback()
    rollback(str(chain[1].pk))
    assert active() == [chain[1].pk]


def test_an_unknown_version(chain: list[ModelVersion]) -> None:
    with pytest.raises(CommandError, match="There is no model version 987654321"):
        rollback("987654321")


@pytest.mark.parametrize("number", ["x", "-1", "0", "1.5", "9" * 30])
def test_what_is_no_number_of_a_version(db: None, number: str) -> None:
    with pytest.raises(CommandError, match=r"expected the number of a version|unrecognized arguments"):
        rollback(number)


def test_damaged_weights_are_refused(chain: list[ModelVersion]) -> None:
    ModelVersion.objects.filter(pk=chain[1].pk).update(weights=b"rubbish")
    with pytest.raises(CommandError, match=r"Nothing was changed\. The model is damaged"):
        rollback()
    assert active() == [chain[2].pk]
    assert not AuditEntry.objects.filter(action="model.activate").exists()


def test_the_list_shows_what_is_in_force_and_reads_no_weights(chain: list[ModelVersion]) -> None:
    with CaptureQueriesContext(connection) as queries:
        lines = rollback("--list").splitlines()
    assert [line.partition(":")[0] for line in lines] == [
        f"* {chain[2].pk}",
        f"  {chain[1].pk}",
        f"  {chain[0].pk}",
    ]
    assert "lstm (online)" in lines[0]
    assert f"trained on 400 attempts, after version {chain[0].pk}" in lines[1]
    assert not [query["sql"] for query in queries if '"weights"' in query["sql"]]
    assert active() == [chain[2].pk]


def test_who_did_it_is_noted(chain: list[ModelVersion], root_admin: User) -> None:
    assert versions.put_in_force(chain[0], user=root_admin)
    (entry,) = AuditEntry.objects.filter(action="model.activate")
    assert (entry.user, entry.actor) == (root_admin, "root_admin")
