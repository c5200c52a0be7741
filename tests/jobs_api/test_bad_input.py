from __future__ import annotations

import json
from typing import Any

import pytest

from jobs.models import Job, JobEvent

GOOD: dict[str, Any] = {"name": "greet", "type": "shell", "payload": {"command": "echo hello"}}


def changed(**fields: Any) -> dict[str, Any]:
    return {**GOOD, **fields}


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


BAD = {
    "no name": ({"type": "shell", "payload": {"command": "true"}}, "name"),
    "no payload": ({"name": "x", "type": "shell"}, "payload"),
    "no type": ({"name": "x", "payload": {}}, "type"),
    "unknown type": (changed(type="cobol"), "type"),
    "type of a wrong kind": (changed(type=["shell"]), "type"),
    "empty name": (changed(name=""), "name"),
    "blank name": (changed(name="  "), "name"),
    "huge name": (changed(name="n" * 1_000_000), "name"),
    "NUL in the name": (changed(name="a\0b"), "name"),
    "half a surrogate pair in the name": (changed(name="a\ud800b"), "name"),
    "name of a wrong kind": (changed(name=nested(20)), "name"),
    "payload of another type": (changed(payload={"url": "https://example.org"}), "payload.command"),
    "unknown payload field": (changed(payload={"command": "true", "shell": "zsh"}), "payload.shell"),
    "payload that is a list": (changed(payload=[1]), "payload"),
    "NUL in the payload": (changed(payload={"command": "echo a\0b"}), "payload.command"),
    "half a surrogate pair in the payload": (changed(payload={"command": "\udfff"}), "payload.command"),
    "payload over 256 KiB": (changed(payload={"command": "x" * 300_000}), "payload"),
    "nested payload": (
        {"name": "x", "type": "python", "payload": {"function": "echo", "args": nested(200)}},
        "payload.args",
    ),
    "unknown function": (
        {"name": "x", "type": "python", "payload": {"function": "os.system"}},
        "payload.function",
    ),
    "unknown field": (changed(colour="red"), "colour"),
    "unknown lane": (changed(lane="fast"), "lane"),
    "run_at without offset": (changed(run_at="2030-01-01T00:00:00"), "run_at"),
    "run_at out of range": (changed(run_at="0001-01-01T00:00:00+14:00"), "run_at"),
    "negative retries": (changed(max_retries=-1), "max_retries"),
    "retries as text": (changed(max_retries="3"), "max_retries"),
    "no time": (changed(timeout_s=0), "timeout_s"),
    "huge key": (changed(idempotency_key="k" * 201), "idempotency_key"),
    "NUL in the key": (changed(idempotency_key="\0"), "idempotency_key"),
}


@pytest.mark.parametrize(("body", "field"), BAD.values(), ids=BAD)
def test_bad_input_names_the_field_and_stores_nothing(api, bob, body, field):
    answer = api(bob).post("/jobs/", json.dumps(body), content_type="application/json")

    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["code"] == "invalid"
    assert any(name == field or name.startswith(f"{field}.") for name in error["fields"]), error
    assert len(answer.content) < 10_000
    assert not Job.objects.exists()
    assert not JobEvent.objects.exists()


RAW = {
    "not JSON": (b"{", 400),
    "not an object": (b"[1, 2]", 400),
    "a number": (b"7", 400),
    "null": (b"null", 400),
    "empty": (b"", 400),
    "not UTF-8": (b'{"name": "\xff"}', 400),
    "NaN": (b'{"name": "x", "type": "shell", "payload": {"command": NaN}}', 400),
    "a number beyond doubles": (b'{"name": "x", "type": "python", "payload": {"args": [1e999]}}', 400),
    "a number of 5,000 digits": (b'{"max_retries": ' + b"9" * 5000 + b"}", 400),
    "nesting without end": (b"[" * 500_000, 400),
    "nested objects without end": (b'{"a":' * 200_000 + b"1" + b"}" * 200_000, 400),
    "a huge unknown name": (b'{"' + b"n" * 500_000 + b'": 1}', 400),
    "a name of half a surrogate pair": (b'{"\\ud800": 1}', 400),
    "more than the site takes": (b'{"name": "' + b"n" * 3_000_000 + b'"}', 413),
}  # fmt: skip


@pytest.mark.parametrize(("content", "status"), RAW.values(), ids=RAW)
def test_bodies_that_cannot_be_read_are_refused_in_json(api, bob, content, status):
    answer = api(bob).post("/jobs/", content, content_type="application/json")
    assert answer.status_code == status
    assert set(answer.json()["error"]) <= {"code", "message", "fields"}
    assert len(answer.content) < 10_000
    assert not Job.objects.exists()


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "x"]
)
def test_other_content_types_are_refused(api, bob, content_type):
    answer = api(bob).post("/jobs/", json.dumps(GOOD), content_type=content_type)
    assert answer.status_code == 415
    assert answer.json()["error"]["code"] == "unsupported_media_type"
    assert not Job.objects.exists()


def test_all_wrong_fields_are_named_at_once(api, bob):
    body = {"name": "", "type": "shell", "payload": {"command": 5}, "lane": "x"}
    fields = api(bob).post("/jobs/", body, format="json").json()["error"]["fields"]
    assert set(fields) == {"name", "lane", "payload.command"}


def test_other_methods_are_refused(api, bob):
    for method in ("put", "patch", "delete"):
        answer = getattr(api(bob), method)("/jobs/", {}, format="json")
        assert answer.status_code == 405
        assert answer.json()["error"]["code"] == "method_not_allowed"
