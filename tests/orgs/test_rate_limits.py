"""The doors before login: so many per client address, and no more."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.test import Client, RequestFactory
from pytest_django import Settings
from rest_framework.test import APIClient

from orgs.exceptions import RateLimited
from orgs.limits import count_request
from orgs.models import User
from orgs.tokens import issue_access_token
from tests.conftest import PASSWORD

# Windows are fixed, so a test that spans an edge would see two: a window of a year has no edge today.
TWO, THREE = "2/365d", "3/365d"

pytestmark = pytest.mark.django_db


@pytest.fixture
def _two_each(settings: Settings) -> None:
    settings.RATE_LOGIN = settings.RATE_REGISTER = TWO


def log_in(address: str = "192.0.2.1", password: str = PASSWORD) -> int:
    body = {"username": "alice", "password": password}
    return APIClient(REMOTE_ADDR=address).post("/auth/login", body, format="json").status_code


@pytest.mark.usefixtures("_two_each")
def test_the_third_login_is_refused(alice: User) -> None:
    assert [log_in(), log_in(password="wrong"), log_in()] == [200, 401, 429]


@pytest.mark.usefixtures("_two_each")
def test_another_address_has_its_own_count(alice: User) -> None:
    assert [log_in("192.0.2.1") for _ in range(3)] == [200, 200, 429]
    assert log_in("192.0.2.2") == 200


@pytest.mark.usefixtures("_two_each")
def test_ipv6_is_counted_by_network(alice: User) -> None:
    assert [log_in(f"2001:db8::{number}") for number in range(1, 4)] == [200, 200, 429]
    assert log_in("2001:db8:1::1") == 200


@pytest.mark.usefixtures("_two_each")
def test_a_client_cannot_choose_its_address(alice: User) -> None:
    codes = []
    for number in range(3):
        client = APIClient(REMOTE_ADDR="192.0.2.1", HTTP_X_FORWARDED_FOR=f"198.51.100.{number}")
        codes.append(client.post("/auth/login", {}, format="json").status_code)
    assert codes == [400, 400, 429]


@pytest.mark.usefixtures("_two_each")
def test_the_refusal_says_when_to_come_back(alice: User) -> None:
    for _ in range(2):
        log_in()
    answer = APIClient(REMOTE_ADDR="192.0.2.1").post("/auth/login", {}, format="json")
    assert answer.status_code == 429
    assert answer.json()["error"]["code"] == "rate_limited"
    assert 1 <= int(answer.headers["Retry-After"]) <= 365 * 86_400


@pytest.mark.usefixtures("_two_each")
def test_registrations_have_a_count_of_their_own(alice: User) -> None:
    client = APIClient(REMOTE_ADDR="192.0.2.1")
    codes = [client.post("/auth/register", {}, format="json").status_code for _ in range(3)]
    assert codes == [400, 400, 429]
    assert log_in() == 200


@pytest.mark.parametrize(
    ("path", "setting"), [("/auth/refresh", "RATE_REFRESH"), ("/invitations/accept", "RATE_INVITATION")]
)
def test_other_doors_are_counted_by_address(
    settings: Settings, alice: User, bob: User, path: str, setting: str
) -> None:
    setattr(settings, setting, TWO)
    codes = []
    for user in (alice, bob, alice):
        client = APIClient(REMOTE_ADDR="192.0.2.1")
        client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_access_token(user)}")
        codes.append(client.post(path, {}, format="json").status_code)
    assert codes == [400, 400, 429]


@pytest.mark.usefixtures("_two_each")
def test_the_admins_login_page_counts_with_the_apis(alice: User, client: Client) -> None:
    for _ in range(2):
        log_in("127.0.0.1", password="wrong")
    answer = client.post("/admin/login/", {"username": "alice", "password": PASSWORD})
    assert answer.status_code == 429
    assert int(answer.headers["Retry-After"]) >= 1
    assert "Too many requests" in answer.content.decode()


def test_rates_are_read_at_each_call(settings: Settings, alice: User) -> None:
    settings.RATE_LOGIN = TWO
    assert [log_in() for _ in range(3)] == [200, 200, 429]
    settings.RATE_LOGIN = THREE
    assert log_in() == 200


def test_a_rollback_does_not_give_a_request_back(rf: RequestFactory) -> None:
    def refuse() -> None:
        with transaction.atomic():
            count_request(rf.post("/"), group="test", rate=TWO)
            raise KeyError

    for _ in range(2):
        with pytest.raises(KeyError):
            refuse()
    with pytest.raises(RateLimited):
        refuse()


def test_default_rates(settings: Settings) -> None:
    doors = (settings.RATE_REGISTER, settings.RATE_LOGIN, settings.RATE_REFRESH, settings.RATE_INVITATION)
    assert doors == ("5/m", "10/m", "60/m", "10/m")
