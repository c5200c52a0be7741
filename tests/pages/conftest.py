"""Browsers without JavaScript: `browse(user)` is a logged-in client, `browse(None)` a visitor."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.test import Client

from orgs.models import User

Browse = Callable[[User | None], Client]


@pytest.fixture
def browse() -> Browse:
    def client(user: User | None) -> Client:
        made = Client(headers={"host": "localhost"})
        if user is not None:
            made.force_login(user)
        return made

    return client
