from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import Client

from jobs.bulk_api import LARGEST_BODY
from jobs.payloads import PAYLOADS
from tests.jobs_api.test_isolation import api_routes

NOT_DOCUMENTED = {"schema", "docs"}


@pytest.fixture(scope="module")
def schema() -> dict[str, Any]:
    answer = Client().get("/schema")
    assert answer.status_code == 200
    assert answer["Content-Type"].startswith("application/json")
    return answer.json()


def test_it_is_valid_and_made_without_a_warning(tmp_path: Path):
    file = tmp_path / "schema.yaml"
    call_command("spectacular", "--fail-on-warn", "--validate", "--file", str(file))
    assert yaml.safe_load(file.read_text())["openapi"].startswith("3.1")


def test_yaml_on_request(schema):
    for answer in (
        Client().get("/schema?format=yaml"),
        Client().get("/schema", headers={"accept": "application/yaml"}),
    ):
        assert yaml.safe_load(answer.content)["paths"].keys() == schema["paths"].keys()


def test_every_route_is_there_with_its_errors(schema):
    routes = {
        "/" + re.sub(r"<\w+:(\w+)>", r"{\1}", route) for route in api_routes() if route not in NOT_DOCUMENTED
    }
    assert set(schema["paths"]) == routes
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            assert operation["summary"], (method, path)
            assert {"503"} <= set(operation["responses"]), (method, path)
            for status, response in operation["responses"].items():
                assert response["description"], (method, path, status)
                if int(status) >= 400:
                    reference = response["content"]["application/json"]["schema"]["$ref"]
                    assert reference == "#/components/schemas/Error", (method, path, status)


def test_every_payload_is_documented_field_by_field(schema):
    parts = schema["components"]["schemas"]
    mapping = parts["JobSubmission"]["discriminator"]["mapping"]
    assert set(mapping) == set(PAYLOADS)
    for job_type, reference in mapping.items():
        body = parts[reference.rsplit("/", 1)[1]]
        assert body["properties"]["type"]["const"] == job_type
        assert body["required"] == ["name", "type", "payload"]
        payload = parts[body["properties"]["payload"]["$ref"].rsplit("/", 1)[1]]
        model = PAYLOADS[job_type]
        assert set(payload["properties"]) == {
            field.alias or name for name, field in model.model_fields.items()
        }
        assert payload["additionalProperties"] is False
        for name, field in payload["properties"].items():
            assert field.get("description") or "$ref" in field, (job_type, name)


def test_the_examples_can_be_submitted(schema, api, bob):
    examples = schema["paths"]["/jobs/"]["post"]["requestBody"]["content"]["application/json"]["examples"]
    assert {example["value"]["type"] for example in examples.values()} == set(PAYLOADS)
    for name, example in examples.items():
        assert api(bob).post("/jobs/", example["value"], format="json").status_code == 201, name


def test_logging_in_is_documented(schema):
    assert schema["components"]["securitySchemes"]["bearerAuth"]["scheme"] == "bearer"


def test_nothing_in_it_is_meant_for_programmers_of_the_platform(schema):
    assert "self." not in str(schema)


def test_the_explorer_loads_nothing_from_other_sites():
    page = Client().get("/docs")
    script = Client().get("/docs?script=")
    assert (page.status_code, script.status_code) == (200, 200)
    sources = re.findall(r'(?:src|href)="([^"]+)"', page.content.decode())
    assert len(sources) >= 4
    for source in sources:
        assert source.startswith("/"), source
        assert not source.startswith("//"), source
        if source.startswith("/static/"):
            assert finders.find(source.removeprefix("/static/")), source
    assert '"validatorUrl": null' in script.content.decode()
    assert "/schema" in script.content.decode()
    assert "://" not in script.content.decode()


def test_the_limits_of_bodies_are_those_that_hold(schema):
    told = schema["paths"]["/jobs/bulk"]["post"]["responses"]["413"]["description"]
    limits = (settings.DATA_UPLOAD_MAX_MEMORY_SIZE, LARGEST_BODY)
    assert [int(found) * 1024 * 1024 for found in re.findall(r"(\d+) MiB", told)] == list(limits)
