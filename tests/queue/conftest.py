from __future__ import annotations

from typing import Any

import pytest

from jobs import notify, prediction
from jobs.coalescing import Coalescer


@pytest.fixture
def predictor() -> Any:
    """Registers a predictor for one test; puts the real one back."""
    before = prediction._predictor
    yield prediction.register
    prediction.register(before)


@pytest.fixture
def prompt_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every hint goes at once, whatever other tests have sent a moment before."""
    monkeypatch.setattr(notify, "_coalescer", Coalescer(notify._send, {}))
