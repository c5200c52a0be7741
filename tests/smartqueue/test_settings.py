"""Settings: refused with a sentence, secrets from files, and documents that stay true."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from django.core.management import get_commands

from smartqueue.generated_docs import drawn
from smartqueue.local_data import default_dir, kept_secret_key

ROOT = Path(__file__).resolve().parent.parent.parent
LONG = "s" * 40


def load_settings(shown: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Import the settings in a process of their own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SMARTQUEUE_")}
    kept.pop("DATABASE_URL", None)
    base = {
        "DATABASE_URL": "postgresql://u@127.0.0.1:1/x",
        "SMARTQUEUE_SECRET_KEY": LONG,
        "PYTHONPATH": str(ROOT),
    }
    shown = shown or "s.LEASE_S, s.SECRET_KEY, s.DATABASES['default']['NAME']"
    code = f"from smartqueue import settings as s; print({shown})"
    return subprocess.run(
        [sys.executable, "-c", code],
        env=kept | base | environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("SMARTQUEUE_LEASE_S", "soon", "a number from 1 to 3600"),
        ("SMARTQUEUE_LEASE_S", "0", "a number from 1 to 3600"),
        ("SMARTQUEUE_LEASE_S", "nan", "a number from 1 to 3600"),
        ("SMARTQUEUE_PORT", "70000", "a whole number from 1 to 65535"),
        ("SMARTQUEUE_DEBUG", "yes", "true or false"),
        ("SMARTQUEUE_LOG_LEVEL", "LOUD", "one of DEBUG, INFO, WARNING, ERROR"),
        ("SMARTQUEUE_SECRET_KEY", "short", "at least 32 characters"),
        ("SMARTQUEUE_JWT_SECRET", "short", "at least 32 characters"),
        ("SMARTQUEUE_SECRET_KEY_FALLBACKS", f"{LONG},short", "at least 32 characters"),
        ("SMARTQUEUE_HEARTBEAT_S", "29", "less than half of SMARTQUEUE_LEASE_S"),
        ("SMARTQUEUE_PATIENCE_LOW", "-1", "a number from 0 to 1000000"),
        (
            "SMARTQUEUE_MAX_WAIT_NORMAL_S",
            "3600",
            "more than 3600 (or 0), since later jobs of lane high are so far ahead",
        ),
        ("SMARTQUEUE_MAX_WAIT_LOW_S", "7200", "more than 7200 (or 0)"),
        (
            "SMARTQUEUE_LANE_CREDIT_HIGH_S",
            "300000",
            "SMARTQUEUE_MAX_WAIT_NORMAL_S=259200: expected more than 300000",
        ),
        ("SMARTQUEUE_LANE_CREDIT_LOW_S", "60", "a number from -31536000 to 0"),
        ("SMARTQUEUE_RATE_LOGIN", "often", "number/period"),
        ("SMARTQUEUE_RATE_LOGIN", "off", "number/period"),
        ("SMARTQUEUE_RATE_USER", "none", "or off"),
        ("SMARTQUEUE_TRUSTED_PROXIES", "-1", "from 0 to 10"),
        ("DATABASE_URL", "mysql://x", "postgresql://"),
        ("DATABASE_URL", "postgresql://host:5432", "a database name"),
    ],
)
def test_a_wrong_value_is_refused_with_the_variable_and_what_was_expected(
    name: str, value: str, expected: str
) -> None:
    loaded = load_settings(**{name: value})
    assert loaded.returncode != 0
    last_line = loaded.stderr.strip().splitlines()[-1]
    assert name in last_line
    assert expected in last_line


def test_a_secret_may_come_from_a_file(tmp_path: Path) -> None:
    secret = tmp_path / "key"
    secret.write_text("f" * 40 + "\n")
    loaded = load_settings(SMARTQUEUE_SECRET_KEY="", SMARTQUEUE_SECRET_KEY_FILE=str(secret))
    assert loaded.stdout.split() == ["30.0", "f" * 40, "x"]


@pytest.mark.parametrize("case", ["both", "missing", "empty"])
def test_a_secret_file_that_cannot_serve_is_refused(tmp_path: Path, case: str) -> None:
    path = tmp_path / "key"
    if case != "missing":
        path.write_text("" if case == "empty" else LONG)
    loaded = load_settings(
        SMARTQUEUE_SECRET_KEY=LONG if case == "both" else "", SMARTQUEUE_SECRET_KEY_FILE=str(path)
    )
    assert loaded.returncode != 0
    assert "SMARTQUEUE_SECRET_KEY_FILE" in loaded.stderr.strip().splitlines()[-1]


def test_older_secret_keys_go_on_serving_sessions_and_tokens() -> None:
    old, shown = LONG[::-1] + "old", "s.SECRET_KEY_FALLBACKS, s.JWT_PREVIOUS_SECRETS"
    signed = load_settings(shown="s.JWT_SECRET", SMARTQUEUE_SECRET_KEY=old).stdout.strip()
    loaded = load_settings(shown=shown, SMARTQUEUE_SECRET_KEY_FALLBACKS=f" {old},")
    assert loaded.stdout.strip() == f"{[old]} {[signed]}"
    own = load_settings(shown=shown, SMARTQUEUE_SECRET_KEY_FALLBACKS=old, SMARTQUEUE_JWT_SECRET="j" * 40)
    assert own.stdout.strip() == f"{[old]} []"


def test_with_a_database_of_ones_own_the_secret_key_is_required() -> None:
    loaded = load_settings(SMARTQUEUE_SECRET_KEY="")
    assert "SMARTQUEUE_SECRET_KEY" in loaded.stderr


def test_the_generated_key_is_kept(tmp_path: Path) -> None:
    assert kept_secret_key(tmp_path) == kept_secret_key(tmp_path)
    assert (tmp_path / "secret_key").stat().st_mode & 0o077 == 0


def test_two_clones_have_two_data_folders() -> None:
    assert default_dir(Path("/a/smartqueue")) != default_dir(Path("/b/smartqueue"))


def test_runworker_is_ours() -> None:
    assert get_commands()["runworker"] == "scheduler"


@pytest.mark.parametrize(("path", "text"), drawn().items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_documents_are_up_to_date(path: Path, text: str) -> None:
    assert path.read_text(encoding="utf-8") == text, "run `make docs`"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "-c idle_in_transaction_session_timeout=60s"),
        (
            {"DATABASE_URL": "postgresql://u@127.0.0.1:1/x?options=-c%20work_mem%3D8MB"},
            "-c idle_in_transaction_session_timeout=60s -c work_mem=8MB",
        ),
        ({"SMARTQUEUE_DATABASE_DIRECT_URL": "postgresql://u@127.0.0.1:2/x"}, ""),
    ],
    ids=["plain", "with options of one's own", "behind a pooler, which would refuse them"],
)
def test_our_own_sessions_may_not_idle_in_a_transaction(environment: dict[str, str], expected: str) -> None:
    shown = "s.DATABASES['default']['OPTIONS']['options']"
    assert load_settings(shown, **environment).stdout.strip() == expected
