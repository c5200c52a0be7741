from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from orgs.models import User
from predictor import store
from predictor.models import ModelVersion
from tests.predictor.packed import weights

pytestmark = pytest.mark.django_db
API = Callable[[User | None], APIClient]


@pytest.fixture
def trained(cold_start: ModelVersion) -> ModelVersion:
    version = ModelVersion.objects.create(
        kind="lstm",
        weights=weights(),
        origin="retrain",
        metrics={"log2_network": 0.5},
        trained_on=400,
        window_start=datetime(2026, 3, 1, tzinfo=UTC),
        window_end=datetime(2026, 3, 2, tzinfo=UTC),
        parent=cold_start,
    )
    store.activate(version)
    return version


def test_platform_admins_see_what_a_version_was_trained_on(
    api: API, root_admin: User, trained: ModelVersion
) -> None:
    newest = api(root_admin).get("/predictor/models").json()["results"][0]
    assert (newest["trained_on"], newest["metrics"]) == (400, {"log2_network": 0.5})
    assert (newest["window_start"], newest["window_end"]) == ("2026-03-01T00:00:00Z", "2026-03-02T00:00:00Z")


def test_versions_newest_first_without_weights(
    api: API, vera: User, charlie: User, cold_start: ModelVersion, trained: ModelVersion
) -> None:
    for person in (vera, charlie):
        with CaptureQueriesContext(connection) as queries:
            results = api(person).get("/predictor/models").json()["results"]
        assert not [query["sql"] for query in queries if '"weights"' in query["sql"]]
        assert [one["id"] for one in results] == [trained.pk, cold_start.pk]
    trained.refresh_from_db()
    created = trained.created_at.isoformat().replace("+00:00", "Z")
    of_all = {"trained_on": None, "window_start": None, "window_end": None, "metrics": None}
    newest = {name: value for name, value in results[0].items() if name not in {"activated_at", *of_all}}
    assert {name: results[0][name] for name in of_all} == of_all
    assert newest == {
        "id": trained.pk,
        "kind": "lstm",
        "origin": "retrain",
        "created_at": created,
        "active": True,
        "parent_id": cold_start.pk,
    }
    assert "activated_at" in results[0]
    assert results[1]["active"] is False


def test_pages(api: API, vera: User, cold_start: ModelVersion, trained: ModelVersion) -> None:
    first = api(vera).get("/predictor/models?page_size=1").json()
    assert [one["id"] for one in first["results"]] == [trained.pk]
    second = api(vera).get(first["next"]).json()
    assert [one["id"] for one in second["results"]] == [cold_start.pk]
    assert second["next"] is None
    assert api(vera).get("/predictor/models?page_size=0").status_code == 400


def test_members_of_no_organisation_may_look(api: API, cold_start: ModelVersion) -> None:
    loner = User.objects.create_user(username="loner", password="x")
    assert len(api(loner).get("/predictor/models").json()["results"]) == 1


def test_visitors_are_turned_away(api: API, db: None) -> None:
    assert api(None).get("/predictor/models").status_code == 401
