"""docker-compose.yml and its layers against the Compose Specification's schema and what they promise."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from affectstream_server.settings import load
from tests.unit.deploy.test_images import EXACT
from tools.compose import LAYERS, MAIN, merged, read, services

ROOT = Path(__file__).resolve().parents[3]
SCHEMA = ROOT / ".venv/compose-schema/compose/config/compose_spec.json"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"models", "build"}
SERVERS = ("server", "server-cpu", "server-gpu")
WHOLE: dict[str, Any] = merged([MAIN, *LAYERS], {})
EVERY: dict[str, dict[str, Any]] = WHOLE["services"]
NO_SHELL = {"collector"}
"""There is nothing in the image that could look after its health."""


@pytest.mark.parametrize("file", [MAIN, *LAYERS, "all of them"])
def test_it_follows_the_compose_specification(file: str) -> None:
    if not SCHEMA.exists():
        pytest.skip("needs the schema: make .venv/.compose-schema")
    schema = json.loads(SCHEMA.read_text())
    schema.pop("$schema")  # 2019-09, of which it uses nothing that draft 7 has not
    durations = {"duration": r"^(\d+(\.\d+)?(us|ms|s|m|h))+$"}  # Compose's, not the schema language's
    validate = fastjsonschema.compile(schema, formats=durations)
    content = WHOLE if file == "all of them" else read(file)
    validate({key: value for key, value in content.items() if key != "name"})


@pytest.mark.fault("container")
@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_container_is_confined(name: str) -> None:
    service = EVERY[name]
    assert re.fullmatch(r"[1-9]\d*:\d+", service["user"])
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service["ulimits"]["core"] == 0
    assert service["mem_limit"]
    assert service["pids_limit"]
    assert "privileged" not in service
    for port in service.get("ports", ()):
        assert port.startswith("127.0.0.1:")


@pytest.mark.parametrize("name", sorted(EVERY))
def test_every_step_waits_for_the_one_before_to_be_well(name: str) -> None:
    service = EVERY[name]
    assert ("healthcheck" in service) is (name not in JOBS | NO_SHELL)
    for other, how in service.get("depends_on", {}).items():
        expected = "service_completed_successfully" if other in JOBS else "service_healthy"
        assert how == {"condition": expected}
        # `run --rm build` starts what it depends on whatever its profile; `up` of a profile needs it inside.
        needed = set(EVERY[other].get("profiles", ()))
        assert name == "build" or not needed or set(service["profiles"]) <= needed


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


def test_without_a_profile_the_service_comes_alone() -> None:
    environ = dict(line.split("=") for line in (ROOT / ".env").read_text().splitlines() if line[0] != "#")
    assert set(services([MAIN], environ["COMPOSE_PROFILES"])) == {"server"}
    assert load(environ=SERVICES["server"]["environment"]).triton.address == ""


@pytest.mark.parametrize("name", SERVERS)
def test_the_service_asks_for_tls_and_tokens(name: str) -> None:
    server = SERVICES[name]
    settings = load(environ=server["environment"])
    assert settings.server.address == "0.0.0.0:50551"
    assert not settings.server.insecure
    (folder,) = server["volumes"]
    assert folder.endswith(":/access:ro")
    for file in (settings.tls.cert_file, settings.tls.key_file, settings.auth.tokens_file):
        assert file.startswith("/access/")
    assert "--ca /access/ca.pem" in server["healthcheck"]["test"][1]


@pytest.mark.parametrize("name", SERVERS)
def test_only_the_file_that_says_so_takes_that_away_and_then_on_this_machine_alone(name: str) -> None:
    for layer in LAYERS[1:]:
        ours = merged([MAIN, layer], {})["services"][name]["environment"]
        assert not load(environ=ours).server.insecure
    over = read("deploy/insecure.compose.yml")["services"][name]
    settings = load(environ=SERVICES[name]["environment"] | over["environment"])
    assert settings.server.insecure
    assert not settings.tls.cert_file
    assert not settings.auth.on
    assert "ports" not in over
    assert over["healthcheck"]["test"][-1] == "127.0.0.1:50551"


def test_nobody_but_the_service_reaches_triton() -> None:
    assert COMPOSE["networks"]["inference"] == {"internal": True}
    for name, service in SERVICES.items():
        if name.startswith("triton"):
            assert set(service["networks"]) == {"inference"}
            assert "ports" not in service
    inside = {name for name, service in EVERY.items() if "inference" in (service.get("networks") or {})}
    # One reads Triton's metrics, one takes its spans.
    assert inside == {*SERVERS, "triton-cpu", "triton-gpu", "prometheus", "collector"}


def test_the_engine_is_built_in_the_image_that_serves_it() -> None:
    dockerfile = (ROOT / SERVICES["build"]["build"]["dockerfile"]).read_text()
    image = SERVICES["triton-gpu"]["image"]
    assert f"FROM {image}\n" in dockerfile
    assert SERVICES["triton-cpu"]["image"] == image
    assert re.fullmatch(r"nvcr\.io/nvidia/tritonserver:\d\d\.\d\d-py3", image)


@pytest.mark.fault("container")
@pytest.mark.parametrize("dockerfile", sorted(path.name for path in (ROOT / "deploy").glob("*.Dockerfile")))
def test_images_copy_what_exists_and_end_as_a_user(dockerfile: str) -> None:
    lines = (ROOT / "deploy" / dockerfile).read_text().splitlines()
    for line in lines:
        if line.startswith("COPY"):
            for source in line.split()[1:-1] if "--from=" not in line else ():
                assert (ROOT / source).exists(), source
    users = [line for line in lines if line.startswith("USER")]
    assert users[-1] == "USER 1000:1000"


@pytest.mark.parametrize("name", SERVERS)
def test_layers_give_each_server_its_bus_and_its_telemetry(name: str) -> None:
    settings = load(environ=EVERY[name]["environment"])
    assert settings.bus.url.get_secret_value() == "redis://redis:6379/0"
    assert settings.telemetry.metrics
    assert settings.telemetry.traces == "http://collector:4318"
    assert "redis" in EVERY[name]["depends_on"]
    assert "collector" not in EVERY[name]["depends_on"], "who is not seen serves nevertheless"
    assert set(EVERY[name]["networks"]) == {"inference", "front", "bus", "telemetry"}


def test_our_images_are_built_and_those_of_others_have_an_exact_tag() -> None:
    for service in EVERY.values():
        image = service["image"]
        if image.startswith("affectstream/"):
            assert (ROOT / service["build"]["dockerfile"]).exists(), "else it would be looked for elsewhere"
            continue
        assert EXACT.search(image), image


def test_what_is_mounted_from_the_checkout_is_there() -> None:
    for service in EVERY.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./deploy"):
                assert (ROOT / source).is_dir(), source
    for name in ("bus", "telemetry", "inference"):
        assert WHOLE["networks"][name] == {"internal": True}


def test_triton_starts_as_without_the_layer_and_traces_too() -> None:
    for name in ("triton-cpu", "triton-gpu"):
        before, after = SERVICES[name]["command"], EVERY[name]["command"]
        assert after[: len(before)] == before
        assert all(option.startswith("--trace-config=") for option in after[len(before) :])


def test_the_collector_sends_on_what_servers_send_it() -> None:
    config = yaml.safe_load((ROOT / "deploy/collector/collector.yml").read_text())
    (pipeline,) = config["service"]["pipelines"].values()
    for kind in ("receivers", "processors", "exporters"):
        assert set(pipeline[kind]) <= set(config[kind])
    host, _, port = config["exporters"]["otlp"]["endpoint"].rpartition(":")
    assert port in EVERY[host]["expose"]


def test_prometheus_asks_for_names_and_ports_that_there_are() -> None:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    asked = {
        (sd["names"][0], str(sd["port"]))
        for job in config["scrape_configs"]
        for sd in job.get("dns_sd_configs", ())
    }
    given = {
        (alias, port)
        for service in EVERY.values()
        for network in set(service.get("networks") or ()) & set(EVERY["prometheus"]["networks"])
        for alias in (service["networks"][network] or {}).get("aliases", ())
        for port in service.get("expose", ())
    }
    assert asked
    assert asked <= given
