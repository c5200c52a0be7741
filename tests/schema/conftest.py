"""The application in this process, and who asks it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from django.core.signals import request_finished, request_started
from django.db import close_old_connections
from pytest_django import Settings

from orgs import roles, tokens
from tests.conftest import make_user
from tests.schema.planting import FAR, NEAR, Side, far_ids, plant, plant_platform

CALLERS = (*roles.ROLES, "api key", "newcomer", "visitor")
OFTEN = "1000000/s"


@dataclass(frozen=True)
class Caller:
    """Whose token comes with each request, and what there is to be found and to be kept from them."""

    who: str
    headers: dict[str, str]
    near: Side
    far: Side

    @property
    def sees_all(self) -> bool:
        return self.who == roles.ADMIN


@pytest.fixture(params=CALLERS)
def caller(request: pytest.FixtureRequest, db: None) -> Caller:
    root, near = plant_platform(), plant(NEAR)
    with far_ids():
        far = plant(FAR)
    people = {**near.people, roles.ADMIN: root, "newcomer": make_user("newcomer", roles.USER, None)}
    who = request.param
    token = near.key if who == "api key" else tokens.issue_access_token(people[who]) if who in people else ""
    return Caller(who, {"Authorization": f"Bearer {token}"} if token else {}, near, far)


@pytest.fixture(autouse=True)
def _open_doors(settings: Settings) -> None:
    """Rates are for tests/orgs; here they would hide what lies behind them."""
    for name in ("RATE_REGISTER", "RATE_LOGIN", "RATE_REFRESH", "RATE_INVITATION"):
        setattr(settings, name, OFTEN)
    settings.LOGIN_FREE = settings.LOGIN_FREE_ACCOUNT = settings.LOGIN_FREE_ADDRESS = 1_000_000


@pytest.fixture(autouse=True)
def _connection_stays(db: None) -> Iterator[None]:
    """The requests are made in the transaction of the test."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)
