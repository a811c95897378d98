"""Every path that a container is told of is there: mounted, or in the image that is built here."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

import pytest
import yaml

from tests.support.chart import Chart, chart, containers, examples
from tests.unit.deploy.test_images import last_stage
from tools.compose import LAYERS, MAIN, ROOT, merged
from tools.dashboards import DASHBOARDS

EVERY: dict[str, dict[str, Any]] = merged([MAIN, *LAYERS[1:]], {})["services"]
"""All but the layer that takes TLS and tokens away, and the paths of both."""
DOCKERFILES = {
    "affectstream/server": ROOT / "deploy/server.Dockerfile",
    "affectstream/triton-build": ROOT / "deploy/triton.Dockerfile",
}
PROBES = ("startup", "liveness", "readiness")
_URL = re.compile(r"\w+://\S+")
_PATH = re.compile(r"(?<![\w.:/])/\w[\w./-]*")


def named_in(content: Any) -> set[PurePosixPath]:
    """Absolute paths in texts, however deep; those of URLs are none."""
    if isinstance(content, dict):
        content = list(content.values())
    if isinstance(content, list):
        return {path for each in content for path in named_in(each)}
    return {PurePosixPath(found) for found in _PATH.findall(_URL.sub("", str(content)))}


def in_image(image: str) -> set[PurePosixPath]:
    """What an image that is built here has; of others nothing is taken for granted."""
    name = next((name for name in DOCKERFILES if name in image), None)
    made: set[PurePosixPath] = set()
    for word, rest in last_stage(DOCKERFILES[name]) if name is not None else ():
        if word == "COPY":
            *sources, target = rest.split()
            made |= {PurePosixPath("/app", target, source if target == "./" else "") for source in sources}
        elif word == "RUN" and rest.startswith("install -d "):
            made |= named_in(rest)
    return made


def mounts_of(service: dict[str, Any]) -> Iterator[tuple[PurePosixPath, str]]:
    """Where something is mounted, and what; an empty source is a folder that is empty at the start."""
    for volume in service.get("volumes", ()):
        source, target, *_ = volume.split(":")
        yield PurePosixPath(target), source
    for target in service.get("tmpfs", ()):
        yield PurePosixPath(target.split(":")[0]), ""


def seen_at(service: dict[str, Any], path: PurePosixPath) -> tuple[PurePosixPath, str] | None:
    """The mount through which a container sees a path: the innermost covers the others."""
    over = [mount for mount in mounts_of(service) if path.is_relative_to(mount[0])]
    return max(over, key=lambda mount: len(mount[0].parts), default=None)


def told(service: dict[str, Any]) -> set[PurePosixPath]:
    """Paths in a container's command, variables and health check, and in the configuration that it mounts."""
    parts = ("command", "entrypoint", "environment", "healthcheck")
    content: list[Any] = [service.get(part) for part in parts]
    for _, source in mounts_of(service):
        if source.startswith("./deploy"):
            content += [yaml.safe_load(file.read_text()) for file in (ROOT / source).rglob("*.yml")]
    return named_in(content)


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_path_that_a_container_is_told_of_is_there(name: str) -> None:
    service = EVERY[name]
    for path in told(service):
        mount = seen_at(service, path)
        if mount is None:
            assert any(path.is_relative_to(made) for made in in_image(service["image"])), path
            continue
        target, source = mount
        assert source, f"{path} is in {target}, which is empty when the container starts"
        if source.startswith("./deploy"):
            assert (ROOT / source / path.relative_to(target)).exists(), path


def test_that_looks_at_all_that_names_paths() -> None:
    assert PurePosixPath("/etc/dashboards") in told(EVERY["grafana"]), "a file that is mounted"
    assert PurePosixPath("/load/callers.py") in told(EVERY["load"]), "a command"
    assert PurePosixPath("/access/ca.pem") in told(EVERY["server"]), "a health check"
    assert PurePosixPath("/work/hub") in told(EVERY["build"]), "a variable"


def test_grafana_shows_every_dashboard_that_is_written_about() -> None:
    file = ROOT / "deploy/grafana/provisioning/dashboards/affectstream.yml"
    [provider] = yaml.safe_load(file.read_text())["providers"]
    mount = seen_at(EVERY["grafana"], PurePosixPath(provider["options"]["path"]))
    assert mount is not None
    held = sorted((ROOT / mount[1]).glob("*.json"))
    assert held == sorted(board.file for board in DASHBOARDS)
    titles = {json.loads(file.read_text())["title"] for file in held}
    pages = "".join(page.read_text(encoding="utf-8") for page in (ROOT / "docs").rglob("*.md"))
    written_about = set(re.findall(r"[Dd]ashboard\s+\*([^*]+)\*", pages))
    assert written_about
    assert written_about <= titles


@pytest.fixture(params=[*examples(), "gpu+build"])
def made(request: pytest.FixtureRequest) -> Chart:
    example, _, build = request.param.partition("+")
    return chart(example, *(["triton.build.enabled=true"] if build else []))


def test_every_path_that_a_pod_is_told_of_is_there(made: Chart) -> None:
    """Where they are named in its settings, test_chart.py looks at them."""
    seen: set[PurePosixPath] = set()
    for name, template in made.pods:
        for container in containers(template):
            mounted = {PurePosixPath(each["mountPath"]) for each in container["volumeMounts"]}
            there = mounted | in_image(container["image"])
            values = [each.get("value") for each in container.get("env", ())]
            probes = [container.get(f"{kind}Probe", {}).get("exec") for kind in PROBES]
            for path in named_in([container.get("command"), container.get("args"), values, probes]):
                assert any(path.is_relative_to(each) for each in there), (name, path)
                seen.add(path)
    assert PurePosixPath("/etc/affectstream/settings.yaml") in seen
