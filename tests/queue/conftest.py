from __future__ import annotations

from typing import Any

import pytest

from jobs import prediction


@pytest.fixture
def predictor() -> Any:
    """Registers a predictor for one test; puts the real one back."""
    before = prediction._predictor
    yield prediction.register
    prediction.register(before)
