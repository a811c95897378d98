"""Compose files as Docker Compose puts them together, without Docker: merged, interpolated, by profile."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).resolve().parents[1]
MAIN: Final = "docker-compose.yml"
LAYERS: Final = (
    "deploy/insecure.compose.yml",
    "deploy/bus.compose.yml",
    "deploy/observe.compose.yml",
    "deploy/demo.compose.yml",
)
"""Files that go over the main one, in this order."""
_REPLACED: Final = frozenset({"command", "entrypoint", "test"})
_VARIABLE: Final = re.compile(r"\$\{(\w+)(?::?-([^}]*))?\}")

Service = dict[str, Any]


def read(file: str) -> dict[str, Any]:
    """One file of the checkout, as it stands there."""
    content: dict[str, Any] = yaml.safe_load((ROOT / file).read_text(encoding="utf-8"))
    return content


def merged(files: Sequence[str], environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """``docker compose -f … -f … config``: mappings are merged, lists grow, commands are replaced."""
    whole: dict[str, Any] = {}
    for file in files:
        content = {key: value for key, value in read(file).items() if not key.startswith("x-")}
        whole = _over(whole, content)
    interpolated: dict[str, Any] = _interpolated(whole, environ)
    return interpolated


def services(
    files: Sequence[str], profile: str, environ: Mapping[str, str] = os.environ
) -> dict[str, Service]:
    """What ``--profile profile up`` starts, by name, each after what it depends on."""
    every: dict[str, Service] = merged(files, environ)["services"]
    wanted = {
        name: service
        for name, service in every.items()
        if "profiles" not in service or profile in service["profiles"]
    }
    ordered: dict[str, Service] = {}

    def add(name: str) -> None:
        if name not in ordered and name in wanted:
            for other in wanted[name].get("depends_on", {}):
                add(other)
            ordered[name] = wanted[name]

    for name in wanted:
        add(name)
    return ordered


def entrypoint(service: Service) -> list[str]:
    """The words that a container starts with: its own, or those of the image that is built here."""
    if "entrypoint" in service:
        return list(service["entrypoint"])
    if service.get("image") == "affectstream/server":
        lines = (ROOT / "deploy/server.Dockerfile").read_text(encoding="utf-8").splitlines()
        (line,) = (line for line in lines if line.startswith("ENTRYPOINT"))
        return list(yaml.safe_load(line.removeprefix("ENTRYPOINT")))
    return []


def _over(below: Any, above: Any, key: str = "") -> Any:
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            name: _over(below[name], above[name], name)
            if name in below and name in above
            else above.get(name, below.get(name))
            for name in {**below, **above}
        }
    if isinstance(below, list) and isinstance(above, list) and key not in _REPLACED:
        return below + [value for value in above if value not in below]
    return above


def _interpolated(value: Any, environ: Mapping[str, str]) -> Any:
    if isinstance(value, dict):
        return {key: _interpolated(inner, environ) for key, inner in value.items()}
    if isinstance(value, list):
        return [_interpolated(inner, environ) for inner in value]
    if isinstance(value, str):
        return _VARIABLE.sub(lambda found: environ.get(found[1], "") or found[2] or "", value)
    return value
