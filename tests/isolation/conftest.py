"""One database with both organisations for all tests of a module, and the people who walk through it."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
from django.db import transaction
from pytest_django import DjangoDbBlocker, Settings

from analytics import shared
from tests.isolation.walking import Walker, walkers
from tests.isolation.world import ACME, GLOBEX, World, plant, plant_platform

# With the application's own filter, and with row-level security alone, which has the more to hold.
FILTERED, WALL_ALONE = "filtered", "wall-alone"
WALKS = [
    ("boss", FILTERED),
    *((who, WALL_ALONE) for who in ("boss", "viewer", "blind-viewer", "key", "mirror")),
]


@pytest.fixture(scope="module")
def worlds(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[tuple[World, World]]:
    """Acme and Globex, planted once; what a test does is taken back, and all of it behind the module."""
    with django_db_blocker.unblock(), transaction.atomic():
        plant_platform()
        yield plant(ACME), plant(GLOBEX)
        transaction.set_rollback(True)


@pytest.fixture(params=WALKS, ids=lambda walk: f"{walk[0]}-{walk[1]}")
def walker(
    request: pytest.FixtureRequest, db: None, worlds: tuple[World, World], settings: Settings
) -> Walker:
    """Somebody of one organisation, with all ids of the other at hand."""
    who, settings.TENANT_FILTER = request.param[0], request.param[1] == FILTERED
    shared.clear()
    return walkers(worlds)[who]()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Thousands of refusals are what is expected here."""
    logger = logging.getLogger("django.request")
    logger.setLevel(logging.ERROR)
    yield
    logger.setLevel(logging.NOTSET)
