"""One arena for all short forms: a PostgreSQL of its own, two workers, two schedulers, a steady load."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.chaos.arena import Arena


@pytest.fixture(scope="session")
def arena() -> Iterator[Arena]:
    """Each test leaves two workers, two schedulers and the load running."""
    with Arena(rate=10, durable=False) as built:
        yield built
