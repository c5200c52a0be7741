from __future__ import annotations

import json

import pytest

from tests.deploy.files import run_settings

SECRETS = {
    "DATABASE_URL": "postgresql://smartqueue:password@postgres:5432/smartqueue",
    "SMARTQUEUE_SECRET_KEY": "s" * 40,
    "SMARTQUEUE_JWT_SECRET": "j" * 40,
}


@pytest.fixture(scope="session")
def variables() -> dict[str, bool]:
    """Every variable that the settings read, and whether it is a secret."""
    code = "print(json.dumps({name: variable.secret for name, variable in env.READ.items()}))"
    result = run_settings(code, SECRETS)
    assert result.returncode == 0, result.stderr
    found: dict[str, bool] = json.loads(result.stdout)
    return found
