"""docker-compose.yml against the Compose Specification's schema, and against what it promises."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from affectstream_server.settings import load

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / ".venv/compose-schema/compose/config/compose_spec.json"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"models", "build"}


def test_it_follows_the_compose_specification() -> None:
    if not SCHEMA.exists():
        pytest.skip("needs the schema: make .venv/.compose-schema")
    schema = json.loads(SCHEMA.read_text())
    schema.pop("$schema")  # 2019-09, of which it uses nothing that draft 7 has not
    durations = {"duration": r"^(\d+(\.\d+)?(us|ms|s|m|h))+$"}  # Compose's, not the schema language's
    validate = fastjsonschema.compile(schema, formats=durations)
    validate({key: value for key, value in COMPOSE.items() if key != "name"})


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_container_is_confined(name: str) -> None:
    service = SERVICES[name]
    assert service["user"] != "0:0"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["ulimits"]["core"] == 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_every_step_waits_for_the_one_before_to_be_well(name: str) -> None:
    service = SERVICES[name]
    assert ("healthcheck" in service) is (name not in JOBS)
    for other, how in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in JOBS else "service_healthy"
        assert how == {"condition": expected}
        # `run --rm build` starts what it depends on whatever its profile; `up` of a profile needs it inside.
        assert name == "build" or set(service["profiles"]) <= set(SERVICES[other]["profiles"])


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_each_profile_has_models_triton_and_the_service(profile: str) -> None:
    assert {name for name, service in SERVICES.items() if profile in service["profiles"]} == {
        "models",
        f"triton-{profile}",
        f"server-{profile}",
    }
    server, triton = SERVICES[f"server-{profile}"], SERVICES[f"triton-{profile}"]
    settings = load(environ=server["environment"])
    assert settings.triton.address == f"triton-{profile}:8001"
    assert f"--load-model={settings.triton.model}" in triton["entrypoint"]
    assert settings.triton.model in " ".join(triton["healthcheck"]["test"])
    assert (ROOT / "triton_repo" / settings.triton.model / "config.pbtxt").exists()


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_the_service_asks_for_tls_and_tokens(profile: str) -> None:
    server = SERVICES[f"server-{profile}"]
    settings = load(environ=server["environment"])
    assert settings.server.address == "0.0.0.0:50551"
    assert not settings.server.insecure
    (folder,) = server["volumes"]
    assert folder.endswith(":/access:ro")
    for file in (settings.tls.cert_file, settings.tls.key_file, settings.auth.tokens_file):
        assert file.startswith("/access/")
    assert "--ca /access/ca.pem" in server["healthcheck"]["test"][1]


@pytest.mark.parametrize("profile", ["cpu", "gpu"])
def test_only_the_file_that_says_so_takes_that_away_and_then_on_this_machine_alone(profile: str) -> None:
    over = yaml.safe_load((ROOT / "deploy/insecure.compose.yml").read_text())["services"][f"server-{profile}"]
    settings = load(environ=SERVICES[f"server-{profile}"]["environment"] | over["environment"])
    assert settings.server.insecure
    assert not settings.tls.cert_file
    assert not settings.auth.on
    assert "ports" not in over
    assert over["healthcheck"]["test"][-1] == "127.0.0.1:50551"


def test_nobody_but_the_service_reaches_triton() -> None:
    assert COMPOSE["networks"]["inference"] == {"internal": True}
    for name, service in SERVICES.items():
        if name.startswith("triton"):
            assert service["networks"] == ["inference"]
            assert "ports" not in service


def test_the_engine_is_built_in_the_image_that_serves_it() -> None:
    dockerfile = (ROOT / SERVICES["build"]["build"]["dockerfile"]).read_text()
    image = SERVICES["triton-gpu"]["image"]
    assert f"FROM {image}\n" in dockerfile
    assert SERVICES["triton-cpu"]["image"] == image
    assert re.fullmatch(r"nvcr\.io/nvidia/tritonserver:\d\d\.\d\d-py3", image)


@pytest.mark.parametrize("dockerfile", sorted(path.name for path in (ROOT / "deploy").glob("*.Dockerfile")))
def test_images_copy_what_exists_and_end_as_a_user(dockerfile: str) -> None:
    lines = (ROOT / "deploy" / dockerfile).read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), source
    users = [line for line in lines if line.startswith("USER")]
    assert users[-1] == "USER 1000:1000"
