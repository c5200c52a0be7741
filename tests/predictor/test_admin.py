"""Model versions in the Django admin: platform admins look and put in force, org admins see nothing."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.messages import get_messages
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from orgs import roles
from orgs.models import AuditEntry, User
from predictor.models import ModelVersion
from tests.predictor.packed import weights

pytestmark = pytest.mark.django_db
LIST = "admin:predictor_modelversion_changelist"


def browser(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def put_in_force(client: Client, *chosen: ModelVersion) -> list[str]:
    form = {"action": "put_in_force", "_selected_action": [version.pk for version in chosen]}
    answer = client.post(reverse(LIST), form)
    return [str(message) for message in get_messages(answer.wsgi_request)]


def active() -> list[int]:
    return list(ModelVersion.objects.filter(active=True).values_list("pk", flat=True))


def change(version: ModelVersion) -> str:
    return reverse("admin:predictor_modelversion_change", args=[version.pk])


@pytest.fixture
def trained(cold_start: ModelVersion) -> ModelVersion:
    return ModelVersion.objects.create(
        kind="lstm",
        weights=weights(),
        origin="retrain",
        metrics={"log2_network": 0.123456, "n_train": 400, "by_type": {"etl": 0.5}},
        parent=cold_start,
    )


def test_platform_admins_see_versions_and_metrics_but_no_weights(
    root_admin: User, cold_start: ModelVersion, trained: ModelVersion
) -> None:
    client = browser(root_admin)
    with CaptureQueriesContext(connection) as queries:
        listed = client.get(reverse(LIST)).content.decode()
        one = client.get(change(trained)).content.decode()
    assert "log2_network 0.1235" in listed
    assert "<div>log2_network: 0.1235</div>" in one
    assert "n_train: 400" in one
    assert str(cold_start) in one
    assert not [query["sql"] for query in queries if '"weights"' in query["sql"]]


def test_org_admins_see_nothing_of_them(alice: User, trained: ModelVersion) -> None:
    client = browser(alice)
    assert client.get(reverse(LIST)).status_code == 403
    assert client.get(change(trained)).status_code == 403
    assert reverse(LIST) not in client.get("/admin/").content.decode()
    form = {"action": "put_in_force", "_selected_action": [trained.pk]}
    assert client.post(reverse(LIST), form).status_code == 403
    assert trained.pk not in active()


def test_nobody_edits_adds_or_deletes(root_admin: User, trained: ModelVersion) -> None:
    client = browser(root_admin)
    assert client.post(change(trained), {"kind": "cold_start"}).status_code == 403
    assert client.get(reverse("admin:predictor_modelversion_add")).status_code == 403
    delete = reverse("admin:predictor_modelversion_delete", args=[trained.pk])
    assert client.post(delete, {"post": "yes"}).status_code == 403
    client.post(reverse(LIST), {"action": "delete_selected", "_selected_action": [trained.pk]})
    assert ModelVersion.objects.filter(pk=trained.pk).exists()


def test_a_version_is_put_in_force_and_noted(
    root_admin: User, cold_start: ModelVersion, trained: ModelVersion
) -> None:
    assert put_in_force(browser(root_admin), trained) == [f"Version {trained.pk} (lstm) is in force."]
    assert active() == [trained.pk]
    (entry,) = AuditEntry.objects.filter(action="model.activate")
    assert (entry.org, entry.actor, entry.target) == (None, "root_admin", str(trained))
    assert entry.details == {"from": cold_start.pk, "to": trained.pk}


def test_one_that_is_in_force_already_stays(root_admin: User, cold_start: ModelVersion) -> None:
    assert put_in_force(browser(root_admin), cold_start) == [
        f"Version {cold_start.pk} (cold_start) is in force already."
    ]
    assert not AuditEntry.objects.filter(action="model.activate").exists()


def test_two_cannot_be_in_force(root_admin: User, cold_start: ModelVersion, trained: ModelVersion) -> None:
    said = put_in_force(browser(root_admin), cold_start, trained)
    assert said == ["Select the one version that shall be in force."]
    assert active() == [cold_start.pk]


def test_damaged_weights_are_refused(
    root_admin: User, cold_start: ModelVersion, trained: ModelVersion
) -> None:
    ModelVersion.objects.filter(pk=trained.pk).update(weights=b"rubbish")
    (said,) = put_in_force(browser(root_admin), trained)
    assert "The model is damaged" in said
    assert active() == [cold_start.pk]


def test_to_look_is_not_to_put_in_force(
    root_admin: User, trained: ModelVersion, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a table of roles in which some may read the platform only."""
    allowed: Any = roles.ALLOWED[roles.ADMIN] - {roles.PLATFORM_ADMINISTER}
    monkeypatch.setitem(roles.ALLOWED, roles.ADMIN, allowed)
    client = browser(root_admin)
    assert client.get(reverse(LIST)).status_code == 200
    put_in_force(client, trained)
    assert trained.pk not in active()
