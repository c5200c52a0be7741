"""The whole product as `manage.py up` starts it, and a real browser in front of it."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from tests.waiting import wait_until

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM_ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
]


@dataclass(frozen=True)
class Running:
    """A started platform: where it is, who may log in, and its process."""

    url: str
    logins: dict[str, str]
    process: subprocess.Popen[str]
    output: Path
    data_dir: Path


def chromium() -> str:
    named = os.environ.get("CHROMIUM", "")
    found = named or next(
        filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
    )
    if not found:
        pytest.skip("no Chromium on this machine: install it, or set CHROMIUM to its path")
    return found


def start_platform(data_dir: Path, **environment: str) -> Running:
    """`manage.py up` in a data folder of its own, as a person would start it."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SMARTQUEUE_", "DATABASE_URL"))
    }
    kept |= {
        "DJANGO_SETTINGS_MODULE": "smartqueue.settings",
        "SMARTQUEUE_DATA_DIR": str(data_dir),
        "SMARTQUEUE_PORT": "18000",
        "SMARTQUEUE_STATIC_ROOT": str(data_dir / "static"),
        "PYTHONDEVMODE": "",
    }
    output = data_dir / "up.log"
    with output.open("w") as log:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "manage.py"), "up"],
            env=kept | environment,
            stdout=log,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            start_new_session=True,
        )

    def address() -> str:
        assert process.poll() is None, output.read_text()
        found = re.findall(r"SmartQueue is up:\s+(http://127\.0\.0\.1:\d+)", output.read_text())
        return str(found[-1]) if "Ctrl-C" in output.read_text().rpartition("is up")[2] else ""

    try:
        url = wait_until(address, 120, "the platform is up")
    except BaseException:
        stop_platform(process)
        raise
    logins = json.loads((data_dir / "demo_logins.json").read_text())
    return Running(url, logins, process, output, data_dir)


def stop_platform(process: subprocess.Popen[str]) -> int:
    if process.poll() is None:
        process.terminate()
    return process.wait(timeout=60)


@pytest.fixture(scope="module")
def platform() -> Iterator[Running]:
    folder = Path(tempfile.mkdtemp(prefix="sq-e2e-"))
    running = start_platform(folder)
    yield running
    stop_platform(running.process)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    # Not for the session: Playwright's event loop would run in this thread under everybody else's tests.
    path = chromium()
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, headless=True, args=CHROMIUM_ARGUMENTS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that fails its test when the browser's console shows an error.

    A form that is answered with 422 counts as an error for the console, not for us.
    """
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    opened = context.new_page()
    errors: list[str] = []
    opened.on("console", lambda message: errors.append(message.text) if message.type == "error" else None)
    opened.on("pageerror", lambda error: errors.append(str(error)))
    yield opened
    context.close()
    assert [error for error in errors if "status of 422" not in error] == []
