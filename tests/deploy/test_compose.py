"""docker-compose.yml: the services, what they wait for, what they open, and its .env."""

from __future__ import annotations

import re

import pytest

from tests.deploy.files import (
    ROOT,
    compose,
    config_map,
    interpolations,
    option,
    pods,
    read_yaml,
    text_of,
    web_command,
)

SERVICES = compose()["services"]
OURS = {name for name, service in SERVICES.items() if "build" in service}


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def test_services() -> None:
    assert sorted(OURS) == ["migrate", "retrain", "scheduler", "web", "worker"]
    assert SERVICES.keys() - OURS == {"postgres", "prometheus", "grafana"}
    assert SERVICES["scheduler"]["deploy"]["replicas"] == 2
    assert SERVICES["retrain"]["profiles"]  # by hand only


def test_roles_wait_for_the_migration_and_that_for_the_database() -> None:
    assert SERVICES["migrate"]["depends_on"] == {"postgres": {"condition": "service_healthy"}}
    assert "healthcheck" in SERVICES["postgres"]
    for name in OURS - {"migrate"}:
        assert SERVICES[name]["depends_on"] == {"migrate": {"condition": "service_completed_successfully"}}


@pytest.mark.parametrize("name", SERVICES)
def test_ports_are_published_on_this_machine_only(name: str) -> None:
    published = SERVICES[name].get("ports", [])
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert bool(published) == (name in ("web", "prometheus", "grafana"))


@pytest.mark.parametrize("name", sorted(OURS))
def test_container_is_contained(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert [mount.split(":")[0] for mount in service["tmpfs"]] == ["/tmp"]


def test_containers_get_longer_to_stop_than_their_processes_take() -> None:
    worker, web = SERVICES["worker"], SERVICES["web"]
    grace = float(worker["environment"]["SMARTQUEUE_WORKER_GRACE_S"])
    assert seconds(worker["stop_grace_period"]) > grace + 5
    assert seconds(web["stop_grace_period"]) > int(option(web_command(), "--timeout-graceful-shutdown")) + 5


def test_every_secret_is_required_and_has_no_default() -> None:
    text = text_of("docker-compose.yml")
    used = interpolations(text)
    assert "" not in used.values(), "a bare ${NAME} becomes an empty text without a word"
    required = {name for name, rest in used.items() if rest.startswith(":?")}
    assert required == {
        "POSTGRES_PASSWORD",
        "APP_DB_PASSWORD",
        "SMARTQUEUE_SECRET_KEY",
        "SMARTQUEUE_JWT_SECRET",
        "GRAFANA_ADMIN_PASSWORD",
    }
    assert not re.search(r"(PASSWORD|SECRET\w*): (?!\$\{)\S", text)


def test_env_example_names_what_compose_asks_for_and_sets_nothing() -> None:
    lines = text_of(".env.example").splitlines()
    settings = dict(line.lstrip("#").split("=", 1) for line in lines if re.match(r"#?[A-Z_]+=", line))
    used = interpolations(text_of("docker-compose.yml"))
    assert settings.keys() == used.keys()
    live = {line.removesuffix("=") for line in lines if re.match(r"[A-Z_]+=", line)}
    assert live == {name for name, rest in used.items() if rest.startswith(":?")}
    assert all(settings[name] == "" for name in live)


def test_volumes_are_declared_and_mounted_files_exist() -> None:
    mounts = [mount.split(":") for service in SERVICES.values() for mount in service.get("volumes", [])]
    assert {source for source, *_ in mounts if not source.startswith("./")} == compose()["volumes"].keys()
    for source, _, *mode in mounts:
        if source.startswith("./"):
            assert (ROOT / source).exists()
            assert mode == ["ro"]


def test_compose_and_kubernetes_run_the_same_postgres() -> None:
    (container,) = pods()["postgres"]["spec"]["containers"]
    service = SERVICES["postgres"]
    assert (service["image"], service["command"]) == (container["image"], container["args"])
    values = {variable["name"]: variable.get("value") for variable in container["env"]}
    assert service["environment"].keys() == values.keys()
    assert service["environment"]["POSTGRES_INITDB_ARGS"] == values["POSTGRES_INITDB_ARGS"]


def test_prometheus_asks_every_role_on_its_port() -> None:
    web, *others = read_yaml(ROOT / "deploy" / "prometheus.yml")["scrape_configs"]
    assert web["static_configs"] == [{"targets": [f"web:{option(web_command(), '--port')}"]}]
    assert "web" in SERVICES["web"]["environment"]["SMARTQUEUE_ALLOWED_HOSTS"].split(",")
    for scrape in others:
        (lookup,) = scrape["dns_sd_configs"]
        assert lookup["names"] == [scrape["job_name"]]
        environment = SERVICES[scrape["job_name"]]["environment"]
        assert str(lookup["port"]) == environment["SMARTQUEUE_METRICS_PORT"]
        assert str(lookup["port"]) == config_map()["SMARTQUEUE_METRICS_PORT"]
    assert {scrape["job_name"] for scrape in others} == {"scheduler", "worker"}
