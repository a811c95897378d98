"""The Helm chart as Helm renders it."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tools.helm import CHART, program

RELEASE, NAMESPACE = "talk", "voice"


def helm(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Helm, or skip with a reason."""
    found = program()
    if found is None:
        pytest.skip("needs Helm: make .venv-helm/.ready")
    return subprocess.run([found, *arguments], capture_output=True, text=True, check=False, timeout=60)


@dataclass(frozen=True)
class Chart:
    """Everything that one installation makes."""

    objects: tuple[dict[str, Any], ...]

    def all(self, kind: str) -> Iterator[dict[str, Any]]:
        """Every object of a kind."""
        return (each for each in self.objects if each["kind"] == kind)

    def one(self, kind: str, part: str) -> dict[str, Any]:
        """The only object of a kind and part, such as server."""
        (found,) = (
            each
            for each in self.all(kind)
            if each["metadata"]["labels"]["app.kubernetes.io/component"] == part
        )
        return found

    @property
    def pods(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """The name and pod template of whatever runs."""
        for each in self.objects:
            if each["kind"] in ("Deployment", "StatefulSet", "Job"):
                yield each["metadata"]["name"], each["spec"]["template"]

    def pod(self, part: str) -> dict[str, Any]:
        """The pod's spec of a part."""
        kind = "StatefulSet" if part == "redis" else "Deployment"
        spec: dict[str, Any] = self.one(kind, part)["spec"]["template"]["spec"]
        return spec


@cache
def chart(example: str, *sets: str) -> Chart:
    """The chart with the values of one of its examples, and more of them as KEY=VALUE."""
    values: list[str] = [word for each in sets for word in ("--set", each)]
    file = CHART / "examples" / f"{example}.yaml"
    done = helm("template", RELEASE, str(CHART), "-n", NAMESPACE, "-f", str(file), *values)
    assert done.returncode == 0, done.stderr
    return Chart(tuple(each for each in yaml.safe_load_all(done.stdout) if each))


def examples() -> list[str]:
    """Names of the chart's own."""
    return sorted(path.stem for path in Path(CHART, "examples").glob("*.yaml"))


def containers(template: dict[str, Any]) -> list[dict[str, Any]]:
    """Of a pod template or a pod's spec, those that begin it too."""
    spec = template.get("spec", template)
    found: list[dict[str, Any]] = [*spec.get("initContainers", ()), *spec["containers"]]
    return found


def environment(container: dict[str, Any]) -> dict[str, str]:
    """Variables as their container sees them, with SECRET:KEY for what secrets hold."""
    found: dict[str, str] = {}
    for each in container.get("env", ()):
        if "value" in each:
            value = each["value"]
            for name, known in found.items():
                value = value.replace(f"$({name})", known)
        else:
            reference = each["valueFrom"]["secretKeyRef"]
            value = f"{reference['name']}:{reference['key']}"
        found[each["name"]] = value
    return found
