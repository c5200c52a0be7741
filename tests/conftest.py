"""Three people in every test: alice runs Acme, bob works there, charlie runs Globex and is a stranger."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.cache import cache
from rest_framework.test import APIClient

from jobs import notify
from orgs import api_limits, roles, tokens
from orgs.models import Organization, User

PASSWORD = "correct horse battery"


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None) -> Iterator[None]:
    """Hints that were held back go before the database does."""
    yield
    notify.end()


def make_user(username: str, role: str, org: Organization | None) -> User:
    return User.objects.create_user(username=username, password=PASSWORD, role=role, org=org)


@pytest.fixture
def acme(db: None) -> Organization:
    return Organization.objects.create(name="Acme")


@pytest.fixture
def globex(db: None) -> Organization:
    return Organization.objects.create(name="Globex")


@pytest.fixture
def alice(acme: Organization) -> User:
    return make_user("alice", roles.ORG_ADMIN, acme)


@pytest.fixture
def bob(acme: Organization) -> User:
    return make_user("bob", roles.USER, acme)


@pytest.fixture
def vera(acme: Organization) -> User:
    return make_user("vera", roles.VIEWER, acme)


@pytest.fixture
def charlie(globex: Organization) -> User:
    return make_user("charlie", roles.ORG_ADMIN, globex)


@pytest.fixture
def root_admin(db: None) -> User:
    return make_user("root_admin", roles.ADMIN, None)


@pytest.fixture
def api() -> Callable[[User | None], APIClient]:
    """A client of the REST API, logged in by bearer token; `api(None)` is a visitor."""

    def client(user: User | None) -> APIClient:
        made = APIClient()
        if user is not None:
            made.credentials(HTTP_AUTHORIZATION=f"Bearer {tokens.issue_access_token(user)}")
        return made

    return client


@pytest.fixture(autouse=True)
def _fresh_counters(request: pytest.FixtureRequest) -> None:
    """Rate limits of one test do not reach the next: the cache commits by itself, also inside a test."""
    if "db" in request.fixturenames or request.node.get_closest_marker("django_db"):
        request.getfixturevalue("db")
        cache.clear()
        api_limits.forget()


@pytest.fixture
def submit() -> Callable[..., Any]:
    """`submit(user, **fields)`: a job by the service, with small defaults."""
    from jobs import services

    def submit_job(user: User, **fields: Any) -> Any:
        values: dict[str, Any] = {"name": "noop", "type": "python", "payload": {"function": "noop"}, **fields}
        return services.submit(org=user.org, user=user, **values)

    return submit_job
