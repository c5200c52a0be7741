"""Variables in the deployment files are ones that the settings read, with values that they take."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from tests.deploy.conftest import SECRETS
from tests.deploy.files import (
    compose,
    config_map,
    containers,
    dockerfile,
    interpolate,
    interpolations,
    pods,
    run_settings,
    text_of,
)

# Read by the images, by Python, or only between these files.
OTHERS = re.compile(
    r"POSTGRES_\w+|APP_DB_PASSWORD|GF_\w+|GRAFANA_\w+|PROMETHEUS_PORT|WEB_PORT|IMAGE_TAG"
    r"|POD_IP|PUBLIC_HOSTS|PYTHON\w+|PATH"
)
# Settings that a pod must not choose: they belong to `manage.py up` and to the embedded PostgreSQL,
# or are fixed by the image.
NOT_FOR_A_CLUSTER = {
    "SMARTQUEUE_DATA_DIR",
    "SMARTQUEUE_DEBUG",
    "SMARTQUEUE_EMBEDDED_DURABLE",
    "SMARTQUEUE_PORT",
    "SMARTQUEUE_STATIC_ROOT",
}


def names_in_kubernetes() -> set[str]:
    found = [container for pod in pods().values() for container in containers(pod)]
    return {variable["name"] for item in found for variable in item.get("env", [])} | config_map().keys()


def names_in_compose() -> set[str]:
    named = {name for service in compose()["services"].values() for name in service.get("environment", {})}
    return named | interpolations(text_of("docker-compose.yml")).keys()


def names_in_dockerfile() -> set[str]:
    text = " ".join(rest for word, rest in dockerfile() if word in ("ENV", "RUN"))
    return set(re.findall(r"\b([A-Z][A-Z_]{3,})=", text))


@pytest.mark.parametrize("used", [names_in_kubernetes, names_in_compose, names_in_dockerfile])
def test_settings_read_every_variable_that_is_set(
    used: Callable[[], set[str]], variables: dict[str, bool]
) -> None:
    names = {name.removesuffix("_FILE") for name in used() if not OTHERS.fullmatch(name)}
    assert names
    assert names <= variables.keys()


def test_config_map_has_every_setting_that_a_cluster_chooses(variables: dict[str, bool]) -> None:
    plain = {name for name, secret in variables.items() if not secret}
    assert plain > NOT_FOR_A_CLUSTER
    assert config_map().keys() == plain - NOT_FOR_A_CLUSTER


def test_settings_take_the_values_of_the_config_map() -> None:
    code = "print(settings.EMBEDDED_POSTGRES, settings.HTTPS, settings.DEBUG, settings.METRICS_PORT)"
    result = run_settings(code, {**config_map(), **SECRETS})
    assert (result.stderr, result.stdout) == ("", "None True False 9100\n")


@pytest.mark.parametrize("name", ["migrate", "web", "scheduler", "worker", "retrain"])
def test_settings_take_the_values_of_compose(name: str) -> None:
    given = {**SECRETS, "APP_DB_PASSWORD": "a" * 64}
    environment = compose()["services"][name]["environment"]
    filled = {key: interpolate(value, given) for key, value in environment.items()}
    result = run_settings("print(settings.DATABASES['default']['HOST'], settings.DEBUG)", filled)
    assert (result.stderr, result.stdout) == ("", "postgres False\n")
