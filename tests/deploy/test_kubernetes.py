"""Manifests are valid, and what they say of each other is true: selectors, ports, references, limits."""

from __future__ import annotations

import shutil
import tomllib
from collections.abc import Iterator
from typing import Any

import kubernetes_validate
import pytest
import yaml

from tests.deploy.files import (
    EXAMPLE_SECRET,
    K8S,
    KUSTOMIZATION,
    Document,
    config_map,
    containers,
    last_instruction,
    manifests,
    of_kind,
    one,
    option,
    output_of,
    pod_template,
    pods,
    read_yaml,
    run_settings,
    text_of,
    web_command,
)


def title(document: Document) -> str:
    return f"{document['kind']}/{document['metadata']['name']}"


EVERY_CONTAINER = [
    pytest.param(pod, container, id=f"{name}/{container['name']}")
    for name, pod in pods().items()
    for container in containers(pod)
]
OURS = [name for name in pods() if name != "postgres"]


@pytest.mark.parametrize("document", manifests(), ids=title)
def test_manifest_is_valid_to_the_last_field(document: Document) -> None:
    """Strict: unknown fields are refused; a kind without a schema raises too."""
    kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)


def test_kustomization_has_every_manifest_but_the_example_secret() -> None:
    listed = read_yaml(K8S / KUSTOMIZATION)["resources"]
    files = {path.name for path in K8S.glob("*.yaml")}
    assert sorted(listed) == sorted(files - {EXAMPLE_SECRET, KUSTOMIZATION})


@pytest.mark.skipif(not shutil.which("kubectl"), reason="needs kubectl, which builds without a cluster")
def test_kustomize_builds_valid_objects() -> None:
    built = output_of(["kubectl", "kustomize", str(K8S)])
    assert built.returncode == 0, built.stderr
    documents = list(yaml.safe_load_all(built.stdout))
    for document in documents:
        kubernetes_validate.validate(document, kubernetes_validate.latest_version(), strict=True)
        assert document["metadata"].get("namespace", "smartqueue") == "smartqueue"
    assert "replace-me" not in built.stdout
    assert len(documents) == len(manifests()) - 1 + 1  # less the example, plus the generated role script


def test_image_tag_is_the_version_of_the_project() -> None:
    version = tomllib.loads(text_of("pyproject.toml"))["project"]["version"]
    assert read_yaml(K8S / KUSTOMIZATION)["images"] == [{"name": "smartqueue", "newTag": version}]


def selectors(document: Document) -> Iterator[dict[str, Any]]:
    spec = document["spec"]
    selector = spec.get("selector", spec.get("podSelector"))
    if selector:
        yield selector if document["kind"] != "Service" else {"matchLabels": selector}


def selects(selector: dict[str, Any], pod: Document) -> bool:
    labels = pod["metadata"]["labels"]
    expressions = selector.get("matchExpressions", [])
    assert all(expression["operator"] == "In" for expression in expressions)
    return selector.get("matchLabels", {}).items() <= labels.items() and all(
        labels.get(expression["key"]) in expression["values"] for expression in expressions
    )


@pytest.mark.parametrize(
    "document",
    of_kind("Service", "Deployment", "StatefulSet", "PodDisruptionBudget", "NetworkPolicy"),
    ids=title,
)
def test_selector_finds_the_pods_that_are_meant(document: Document) -> None:
    for selector in selectors(document):
        found = [name for name, pod in pods().items() if selects(selector, pod)]
        if document["kind"] == "NetworkPolicy":
            assert found
        else:
            assert found == [document["metadata"]["name"]]


@pytest.mark.parametrize("name", ["web", "scheduler", "worker"])
def test_replicas_prefer_different_nodes(name: str) -> None:
    affinity = pods()[name]["spec"]["affinity"]["podAntiAffinity"]
    (preferred,) = affinity["preferredDuringSchedulingIgnoredDuringExecution"]
    assert selects(preferred["podAffinityTerm"]["labelSelector"], pods()[name])


@pytest.mark.parametrize("service", of_kind("Service"), ids=title)
def test_service_port_is_a_port_of_its_pod(service: Document) -> None:
    (container,) = pods()[service["metadata"]["name"]]["spec"]["containers"]
    names = {port["name"] for port in container["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names


def test_ports_are_the_ones_that_the_processes_open() -> None:
    opened = {"web": int(option(web_command(), "--port")), "postgres": 5432}
    opened["scheduler"] = opened["worker"] = int(config_map()["SMARTQUEUE_METRICS_PORT"])
    for name, port in opened.items():
        (container,) = pods()[name]["spec"]["containers"]
        assert [declared["containerPort"] for declared in container["ports"]] == [port]
        if name != "postgres":
            annotations = pods()[name]["metadata"]["annotations"]
            assert annotations["prometheus.io/port"] == str(port)
    allowed = {
        port["port"]
        for policy in of_kind("NetworkPolicy")
        for rule in policy["spec"].get("ingress", [])
        for port in rule["ports"]
    }
    assert allowed == set(opened.values())


@pytest.mark.parametrize("name", ["web", "scheduler", "worker"])
def test_probes_ask_a_port_of_the_container(name: str) -> None:
    (container,) = pods()[name]["spec"]["containers"]
    ports = {port["name"] for port in container["ports"]}
    probes = {probe: container[probe]["httpGet"] for probe in container if probe.endswith("Probe")}
    assert {"startupProbe", "livenessProbe"} <= probes.keys()
    assert {probe["port"] for probe in probes.values()} <= ports
    if name == "web":
        assert probes["livenessProbe"]["path"] == "/healthz"
        assert probes["readinessProbe"]["path"] == "/readyz"
        # ALLOWED_HOSTS refuses a pod's address as Host, which is what a probe sends by itself.
        host = [{"name": "Host", "value": "localhost"}]
        assert all(probe["httpHeaders"] == host for probe in probes.values())


@pytest.mark.parametrize(("pod", "container"), EVERY_CONTAINER)
def test_references_exist(pod: Document, container: Document) -> None:
    secret = one("Secret", "smartqueue-secrets")["stringData"]
    for source in container.get("envFrom", []):
        assert source == {"configMapRef": {"name": "smartqueue-config"}}
    for variable in container.get("env", []):
        origin = variable.get("valueFrom", {})
        if reference := origin.get("secretKeyRef"):
            assert reference["name"] == "smartqueue-secrets"
            assert reference["key"] in secret or reference.get("optional")
        if reference := origin.get("configMapKeyRef"):
            assert reference["name"] == "smartqueue-config"
            assert reference["key"] in config_map()


def test_every_volume_is_declared_and_generated_scripts_exist() -> None:
    (generated,) = read_yaml(K8S / KUSTOMIZATION)["configMapGenerator"]
    assert all((K8S / file.split("=")[-1]).is_file() for file in generated["files"])
    for name, pod in pods().items():
        declared = {volume["name"]: volume for volume in pod["spec"]["volumes"]}
        claims = {"data"} if name == "postgres" else set()
        mounted = {mount["name"] for container in containers(pod) for mount in container["volumeMounts"]}
        assert mounted == declared.keys() | claims
        scripts = [volume["configMap"]["name"] for volume in declared.values() if "configMap" in volume]
        assert scripts == ([generated["name"]] if name == "postgres" else [])


def test_only_web_holds_the_token_secret_and_only_postgres_the_superuser() -> None:
    holders: dict[str, set[str]] = {}
    for name, pod in pods().items():
        for container in containers(pod):
            for variable in container.get("env", []):
                if "secretKeyRef" in variable.get("valueFrom", {}):
                    holders.setdefault(variable["name"], set()).add(name)
    assert holders["SMARTQUEUE_JWT_SECRET"] == {"web"}
    assert holders["POSTGRES_PASSWORD"] == holders["APP_DB_PASSWORD"] == {"postgres"}
    assert holders["DATABASE_URL"] == holders["SMARTQUEUE_SECRET_KEY"] == set(OURS)


@pytest.mark.parametrize(("pod", "container"), EVERY_CONTAINER)
def test_container_is_contained(pod: Document, container: Document) -> None:
    spec, security = pod["spec"], container["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert spec["automountServiceAccountToken"] is False
    assert security == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "/tmp" in [mount["mountPath"] for mount in container["volumeMounts"]]
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("name", pods())
def test_services_put_no_variables_into_pods(name: str) -> None:
    """A Service named smartqueue would otherwise set SMARTQUEUE_PORT=tcp://... in every pod."""
    assert pods()[name]["spec"]["enableServiceLinks"] is False


def test_user_of_pods_is_the_user_of_the_image() -> None:
    uid, gid = (int(number) for number in last_instruction("USER").split(":"))
    for name in OURS:
        security = pods()[name]["spec"]["securityContext"]
        assert (security["runAsUser"], security["runAsGroup"]) == (uid, gid)


def test_autoscaler_owns_one_to_five_workers() -> None:
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    spec = scaler["spec"]
    assert spec["scaleTargetRef"] == {"apiVersion": "apps/v1", "kind": "Deployment", "name": "worker"}
    assert (spec["minReplicas"], spec["maxReplicas"]) == (1, 5)
    assert "replicas" not in one("Deployment", "worker")["spec"]
    (container,) = pods()["worker"]["spec"]["containers"]
    assert "cpu" in container["resources"]["requests"]


def test_web_and_scheduler_run_twice_and_survive_a_drain() -> None:
    for name in ("web", "scheduler"):
        assert one("Deployment", name)["spec"]["replicas"] == 2
        assert one("PodDisruptionBudget", name)["spec"]["minAvailable"] == 1
    # With one worker left, minAvailable would block the drain of its node for ever.
    assert one("PodDisruptionBudget", "worker")["spec"]["maxUnavailable"] == 1


def test_pods_get_longer_to_stop_than_their_processes_take() -> None:
    grace = {name: pod["spec"]["terminationGracePeriodSeconds"] for name, pod in pods().items()}
    assert grace["worker"] > float(config_map()["SMARTQUEUE_WORKER_GRACE_S"]) + 5
    (web,) = pods()["web"]["spec"]["containers"]
    pause = int(web["lifecycle"]["preStop"]["exec"]["command"][-1])
    assert grace["web"] > pause + int(option(web_command(), "--timeout-graceful-shutdown")) + 5


def test_connections_fit_into_postgres() -> None:
    """Full pools and three other connections each, every rollout in the middle, both jobs running."""
    (postgres,) = pods()["postgres"]["spec"]["containers"]
    (limit,) = [int(item.split("=")[1]) for item in postgres["args"] if item.startswith("max_connections=")]
    (scaler,) = of_kind("HorizontalPodAutoscaler")
    processes = 2  # migrate and retrain
    for deployment in of_kind("Deployment"):
        spec = deployment["spec"]
        processes += spec.get("replicas", scaler["spec"]["maxReplicas"])
        processes += spec["strategy"]["rollingUpdate"]["maxSurge"]
    kept_for_superusers = 3
    assert processes * (int(config_map()["SMARTQUEUE_DB_POOL_MAX"]) + 3) <= limit - kept_for_superusers


def test_retrain_never_runs_twice_at_once() -> None:
    spec = one("CronJob", "retrain")["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert pod_template(one("CronJob", "retrain"))["spec"]["restartPolicy"] == "Never"  # type: ignore[index]


def test_example_secret_is_refused_as_it_stands() -> None:
    example = one("Secret", "smartqueue-secrets")["stringData"]
    result = run_settings("", {**config_map(), **example})
    assert result.returncode != 0
    assert "SMARTQUEUE_SECRET_KEY: expected at least 32 characters" in result.stderr
