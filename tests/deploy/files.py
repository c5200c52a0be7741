"""The deployment files as data: manifests, compose services, Dockerfile instructions, the names they use."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
K8S = ROOT / "k8s"
DASHBOARD = ROOT / "deploy" / "grafana" / "dashboards" / "smartqueue.json"
EXAMPLE_SECRET = "secret.example.yaml"
KUSTOMIZATION = "kustomization.yaml"

Document = dict[str, Any]


def text_of(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def read_yaml(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def manifests() -> list[Document]:
    """Every Kubernetes object of k8s/, the example Secret included."""
    paths = sorted(path for path in K8S.glob("*.yaml") if path.name != KUSTOMIZATION)
    return [document for path in paths for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))]


def of_kind(*kinds: str) -> list[Document]:
    return [document for document in manifests() if document["kind"] in kinds]


def one(kind: str, name: str) -> Document:
    (found,) = [document for document in of_kind(kind) if document["metadata"]["name"] == name]
    return found


def pod_template(document: Document) -> Document | None:
    """The pod template of a Deployment, StatefulSet, Job or CronJob; None of anything else."""
    spec = document.get("spec", {})
    template: Document | None = spec.get("jobTemplate", {}).get("spec", spec).get("template")
    return template


def pods() -> dict[str, Document]:
    """Pod templates by the name of their workload."""
    return {item["metadata"]["name"]: found for item in manifests() if (found := pod_template(item))}


def containers(pod: Document) -> list[Document]:
    return [*pod["spec"].get("initContainers", []), *pod["spec"]["containers"]]


def config_map() -> dict[str, str]:
    data: dict[str, str] = one("ConfigMap", "smartqueue-config")["data"]
    return data


def compose() -> Document:
    document: Document = read_yaml(ROOT / "docker-compose.yml")
    return document


def interpolations(text: str) -> dict[str, str]:
    """`${NAME:-default}` and `${NAME:?message}` in a text: name to what follows it, '' when bare."""
    return dict(re.findall(r"\$\{([A-Z_]+)(:?[-?][^}]*)?\}", text))


def interpolate(value: str, values: dict[str, str]) -> str:
    """What Compose makes of a value: a default where `values` has no such name."""

    def fill(match: re.Match[str]) -> str:
        return values.get(match[1]) or (match[2] or "").removeprefix(":-")

    return re.sub(r"\$\{([A-Z_]+)(:-[^}]*|:\?[^}]*)?\}", fill, str(value))


def dockerfile() -> list[tuple[str, str]]:
    """(instruction, arguments) in order, continuation lines joined, comments dropped."""
    lines = [line for line in text_of("Dockerfile").splitlines() if line and line[0] != "#"]
    whole = "\n".join(lines).replace("\\\n", " ")
    return [(word, rest.strip()) for word, _, rest in (line.partition(" ") for line in whole.splitlines())]


def last_instruction(name: str) -> str:
    return [rest for word, rest in dockerfile() if word == name][-1]


def web_command() -> list[str]:
    command: list[str] = json.loads(last_instruction("CMD"))
    return command


def option(command: list[str], name: str) -> str:
    return command[command.index(name) + 1]


def commands() -> Iterator[list[str]]:
    """Every command that a container of ours is started with, in Compose and on Kubernetes."""
    for service in compose()["services"].values():
        if "build" in service and "command" in service:
            yield service["command"]
    for pod in pods().values():
        for container in containers(pod):
            if container["image"] == "smartqueue" and "args" in container:
                yield container["args"]


def run_settings(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Import the settings in a process with `environment` and nothing else of ours, then run `code`."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    program = f"import json\nfrom smartqueue import env, settings\n{code}"
    return output_of([sys.executable, "-c", program], {**kept, **environment})


def output_of(
    command: list[str], environment: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
