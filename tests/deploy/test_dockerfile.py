"""The image: linted, without secrets, not root, and with everything that runs in it."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest
from django.conf import settings

from tests.deploy.files import ROOT, dockerfile, last_instruction, output_of, text_of


def test_hadolint_has_no_complaint() -> None:
    hadolint = Path(sys.executable).parent / "hadolint"
    result = output_of([str(hadolint), "Dockerfile"])
    assert (result.returncode, result.stdout) == (0, "")
    assert "hadolint ignore" not in text_of("Dockerfile")


def test_last_user_is_a_number_other_than_root() -> None:
    assert re.fullmatch(r"[1-9]\d*:[1-9]\d*", last_instruction("USER"))


@pytest.mark.parametrize("name", ["ENTRYPOINT", "CMD"])
def test_no_shell_stands_between_the_signal_and_python(name: str) -> None:
    words = json.loads(last_instruction(name))
    assert not {"sh", "bash", "/bin/sh"} & set(words)


def test_the_server_leaves_the_clients_address_alone() -> None:
    words = json.loads(last_instruction("CMD"))
    assert "--no-proxy-headers" in words
    assert "--proxy-headers" not in words


def test_base_image_is_pinned_and_the_same_in_both_stages() -> None:
    (base,) = [rest for word, rest in dockerfile() if word == "ARG"]
    assert re.fullmatch(r"BASE=python:3\.1[123][\w.]*-slim-\w+", base)
    assert [rest.split()[0] for word, rest in dockerfile() if word == "FROM"] == ["${BASE}", "${BASE}"]


def test_nothing_secret_stays_in_the_image() -> None:
    kept = " ".join(rest for word, rest in dockerfile() if word in ("ENV", "ARG", "LABEL"))
    assert not re.search(r"SECRET|PASSWORD|DATABASE_URL", kept)


def test_build_context_holds_what_runs_and_nothing_else() -> None:
    rules = text_of(".dockerignore").split("\n")
    allowed = {rule[1:] for rule in rules if rule.startswith("!")}
    assert "*" in rules
    packages = {app for app in settings.INSTALLED_APPS if (ROOT / app).is_dir()}
    folders = {Path(folder).name for folder in [*settings.STATICFILES_DIRS, *settings.TEMPLATES[0]["DIRS"]]}
    assert allowed == packages | folders | {"manage.py", "requirements.txt", "LICENSE"}
