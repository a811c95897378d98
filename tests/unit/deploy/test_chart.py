"""The Helm chart: what Kubernetes takes, and what its parts must agree on."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import fastjsonschema
import pytest
import yaml

from affectstream_server.edge.server import LIVENESS
from affectstream_server.settings import Settings, load
from affectstream_server.telemetry import names
from tests.support.chart import Chart, chart, containers, environment, examples, helm
from tests.unit.deploy.test_images import EXACT
from tools.helm import CHART, FOLDER, VERSIONS

ROOT = CHART.parents[2]
HELD = {"my-redis:url": "redis://elsewhere:6379/0"}
"""What a secret of the operator's own holds."""
BUILD = "triton.build.enabled=true"
EVERY = [*examples(), "gpu+build"]


def rendered(name: str) -> Chart:
    example, _, build = name.partition("+")
    return chart(example, *([BUILD] if build else []))


@pytest.fixture(params=EVERY)
def made(request: pytest.FixtureRequest) -> Chart:
    return rendered(request.param)


@cache
def definitions(version: str) -> dict[str, Any]:
    file = FOLDER / f"{version}.json"
    if not file.exists():
        pytest.skip("needs Kubernetes' schemas: make .venv-helm/.ready")
    found: dict[str, Any] = json.loads(file.read_text())["$defs"]
    return found


@cache
def checker(version: str, api: str, kind: str) -> Callable[[Any], Any]:
    found = definitions(version)
    group, _, short = api.rpartition("/")
    wanted = {"group": group, "kind": kind, "version": short}
    (name,) = (
        key for key, value in found.items() if wanted in value.get("x-kubernetes-group-version-kind", ())
    )
    schema = {"$schema": "http://json-schema.org/draft-07/schema#", "$ref": f"#/$defs/{name}", "$defs": found}
    compiled: Callable[[Any], Any] = fastjsonschema.compile(schema)
    return compiled


@pytest.mark.parametrize("version", VERSIONS)
def test_it_follows_kubernetes_schema(made: Chart, version: str) -> None:
    for each in made.objects:
        if each["kind"] != "ServiceMonitor":  # the Prometheus operator's own
            checker(version, each["apiVersion"], each["kind"])(each)


def test_helm_finds_nothing_wrong() -> None:
    done = helm("lint", "--strict", str(CHART))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    "wrong", ["server.replics=3", "triton.kind=tpu", "proxy.replicas=0", "imagePrefix=x"]
)
def test_a_value_that_cannot_be_is_named(wrong: str) -> None:
    done = helm("template", "talk", str(CHART), "--set", wrong)
    assert done.returncode != 0
    assert wrong.partition("=")[0].split(".")[-1] in done.stderr


def test_every_container_is_confined(made: Chart) -> None:
    for name, template in made.pods:
        spec = template["spec"]
        assert spec["automountServiceAccountToken"] is False, name
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["runAsUser"] > 0
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(template):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["limits"]["memory"]
            assert container["resources"]["requests"]["cpu"]
            assert EXACT.search(container["image"])


def test_secrets_are_named_and_never_made(made: Chart) -> None:
    assert not list(made.all("Secret"))
    for _, template in made.pods:
        for container in containers(template):
            for each in container.get("env", ()):
                if re.search("PASSWORD|KEY$|TOKEN", each["name"]):
                    assert "secretKeyRef" in each["valueFrom"]
    settings = made.one("ConfigMap", "server")["data"]["settings.yaml"]
    assert not re.search("password|secret|url:", settings)


def in_force(made: Chart, tmp_path: Path) -> Settings:
    file = tmp_path / "settings.yaml"
    file.write_text(made.one("ConfigMap", "server")["data"]["settings.yaml"])
    given = environment(made.pod("server")["containers"][0])
    return load(file, environ={key: HELD.get(value, value) for key, value in given.items()})


def test_its_settings_load(made: Chart, tmp_path: Path) -> None:
    settings = in_force(made, tmp_path)
    assert settings.server.max_streams == 150
    assert settings.auth.on
    assert not settings.server.insecure
    assert settings.bus.url.get_secret_value().startswith(
        ("redis://:affectstream-redis:password@talk-", "redis://elsewhere")
    )
    (server,) = made.pod("server")["containers"]
    mounted = {each["mountPath"]: each["name"] for each in server["volumeMounts"]}
    for path in (settings.tls.cert_file, settings.tls.key_file, settings.auth.tokens_file):
        assert str(Path(path).parent) in mounted
    assert server["args"] == ["serve", "--config", "/etc/affectstream/settings.yaml"]
    assert mounted["/etc/affectstream"] == "settings"


def test_settings_of_the_callers_own_stay_and_large_numbers_too(tmp_path: Path) -> None:
    made = chart("embedded", "settings.bus.memory_bytes=67108864", "settings.server.address=127.0.0.1:1")
    settings = in_force(made, tmp_path)
    assert settings.bus.memory_bytes == 67_108_864
    assert settings.server.drain_s == 10
    assert settings.server.address == "0.0.0.0:50551", "what the chart knows itself wins"


@pytest.mark.parametrize("drain_s", ["10", "60.5", "0"])
def test_nobody_is_killed_before_the_drain_is_over(drain_s: str, tmp_path: Path) -> None:
    made = chart("embedded", f"settings.server.drain_s={drain_s}")
    spec = made.pod("server")
    (server,) = spec["containers"]
    stop_s = int(server["lifecycle"]["preStop"]["exec"]["command"][1])
    # docs/lifecycle.md: the drain, 10 s more for scores that are due, and the end.
    assert spec["terminationGracePeriodSeconds"] >= stop_s + in_force(made, tmp_path).server.drain_s + 15
    proxy = made.pod("proxy")
    hard_stop_s = int(re.findall(r"hard-stop-after (\d+)s", config(made))[0])
    stop_s = int(proxy["containers"][0]["lifecycle"]["preStop"]["exec"]["command"][1])
    assert proxy["terminationGracePeriodSeconds"] > stop_s + hard_stop_s


def config(made: Chart) -> str:
    found: str = made.one("ConfigMap", "proxy")["data"]["haproxy.cfg"]
    return found


def test_the_proxy_has_the_file_that_is_tested_and_all_that_it_asks_for(made: Chart) -> None:
    assert config(made) == (CHART / "files/haproxy.cfg").read_text()
    given = environment(made.pod("proxy")["containers"][0])
    assert {f"PROXY_{name}" for name in re.findall(r"\$\{PROXY_(\w+)\}", config(made))} == {
        *given,
        "PROXY_DNS",
    }


def test_ports_agree(made: Chart, tmp_path: Path) -> None:
    settings = in_force(made, tmp_path)
    (server,) = made.pod("server")["containers"]
    ports = {each["name"]: each["containerPort"] for each in server["ports"]}
    assert settings.server.address == f"0.0.0.0:{ports['grpc']}"
    assert settings.telemetry.metrics_address == f"0.0.0.0:{ports['metrics']}"
    replicas = made.one("Service", "server")
    assert replicas["spec"]["clusterIP"] == "None", "an address for each"
    named = f"{replicas['metadata']['name']}.voice.svc.cluster.local:{ports['grpc']}"
    (proxy,) = made.pod("proxy")["containers"]
    given = environment(proxy)
    assert given["PROXY_REPLICAS"] == named
    listens = {each["containerPort"] for each in proxy["ports"]}
    assert {int(given[name].rpartition(":")[2]) for name in ("PROXY_BIND", "PROXY_HEALTH")} == listens
    if settings.triton.address:
        triton = made.one("Service", "triton")
        grpc = next(each for each in triton["spec"]["ports"] if each["name"] == "grpc")
        assert settings.triton.address == f"{triton['metadata']['name']}:{grpc['port']}"


def test_probes_ask_what_the_server_answers(made: Chart, tmp_path: Path) -> None:
    (server,) = made.pod("server")["containers"]
    assert LIVENESS == "liveness"
    for name in ("startupProbe", "livenessProbe", "readinessProbe"):
        command = server[name]["exec"]["command"]
        assert command[:3] == ["python", "-m", "affectstream_server.probe"]
        assert ("--live" in command) is (name != "readinessProbe"), (
            "a model that comes back finds its streams"
        )
        assert command[3] == in_force(made, tmp_path).server.address.replace("0.0.0.0", "127.0.0.1")  # noqa: S104 - names
        timeout_s = float(command[command.index("--timeout") + 1])
        assert server[name]["timeoutSeconds"] >= timeout_s + 2, "for the interpreter to start"
    assert server["livenessProbe"]["failureThreshold"] >= 3


def test_the_proxy_asks_for_the_health_of_the_whole_server() -> None:
    text = (CHART / "files/haproxy.cfg").read_text()
    sent = b"".join(bytes.fromhex(each) for each in re.findall(r"send-binary (\w+)", text))
    assert sent.startswith(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    assert b"/grpc.health.v1.Health/Check" in sent
    assert sent.endswith(bytes(5)), "an empty HealthCheckRequest"


def selects(selector: dict[str, str], template: dict[str, Any]) -> bool:
    labels: dict[str, str] = template["metadata"]["labels"]
    return selector.items() <= labels.items()


def test_every_selector_finds_its_pods(made: Chart) -> None:
    pods = dict(made.pods)
    for service in made.all("Service"):
        (template,) = (each for each in pods.values() if selects(service["spec"]["selector"], each))
        ports = {each["name"] for container in containers(template) for each in container.get("ports", ())}
        assert {each["targetPort"] for each in service["spec"]["ports"]} <= ports
    for budget in made.all("PodDisruptionBudget"):
        labels = budget["spec"]["selector"]["matchLabels"]
        assert sum(selects(labels, each) for each in pods.values()) == 1
        assert budget["spec"]["maxUnavailable"] == 1
    for kind in ("Deployment", "StatefulSet"):
        for each in made.all(kind):
            assert selects(each["spec"]["selector"]["matchLabels"], each["spec"]["template"])
    for scaler in made.all("HorizontalPodAutoscaler"):
        target = scaler["spec"]["scaleTargetRef"]
        (deployment,) = (
            each for each in made.all("Deployment") if each["metadata"]["name"] == target["name"]
        )
        assert "replicas" not in deployment["spec"], "two would set it"


def test_replicas_are_spread_and_replaced_one_by_one(made: Chart) -> None:
    parts = ["server", "proxy", *(["triton"] if "triton" in str(made.objects) else [])]
    for part in parts:
        spread = made.pod(part)["topologySpreadConstraints"]
        assert [each["topologyKey"] for each in spread] == [
            "kubernetes.io/hostname",
            "topology.kubernetes.io/zone",
        ]
        for each in spread:
            assert selects(
                each["labelSelector"]["matchLabels"], made.one("Deployment", part)["spec"]["template"]
            )
        if part != "triton":
            assert made.one("Deployment", part)["spec"]["strategy"]["rollingUpdate"] == {
                "maxSurge": 1,
                "maxUnavailable": 0,
            }


def test_autoscalers_ask_for_what_the_adapter_gives() -> None:
    made = rendered("gpu")
    adapter = yaml.safe_load((CHART.parent / "prometheus-adapter.yaml").read_text())
    given = {rule["name"]["as"]: rule["seriesQuery"].partition("{")[0] for rule in adapter["rules"]["custom"]}
    for part, series in (("server", names.STREAMS.exposed), ("triton", "nv_inference_pending_request_count")):
        (metric,) = made.one("HorizontalPodAutoscaler", part)["spec"]["metrics"]
        assert given[metric["pods"]["metric"]["name"]] == series
    streams = made.one("HorizontalPodAutoscaler", "server")["spec"]["metrics"][0]["pods"]["target"]
    assert int(streams["averageValue"]) < 150, "the next comes before there is no room"


def test_monitors_read_ports_that_there_are_under_the_names_of_the_rules(made: Chart) -> None:
    rules = "".join(path.read_text() for path in (ROOT / "deploy/prometheus/rules").glob("*.yml"))
    assert 'up{job="affectstream"}' in rules
    jobs = {}
    for monitor in made.all("ServiceMonitor"):
        (endpoint,) = monitor["spec"]["endpoints"]
        labels = monitor["spec"]["selector"]["matchLabels"]
        services = [
            each for each in made.all("Service") if labels.items() <= each["metadata"]["labels"].items()
        ]
        read = [
            each for each in services if endpoint["port"] in {port["name"] for port in each["spec"]["ports"]}
        ]
        assert len(read) == 1, "each is read once"
        jobs[labels["app.kubernetes.io/component"]] = endpoint["relabelings"][0]["replacement"]
    assert jobs["server"] == "affectstream"
    assert "triton" not in jobs or jobs["triton"] == "triton"


def test_nothing_is_reached_but_what_is_needed(made: Chart) -> None:
    policies = {
        each["metadata"]["name"].rpartition("-")[2]: each["spec"] for each in made.all("NetworkPolicy")
    }
    pods = dict(made.pods)
    nothing = policies.pop("nothing")
    assert nothing["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(nothing)
    for name, template in pods.items():
        assert selects(nothing["podSelector"]["matchLabels"], template), name
    reached = {
        name: {
            (rule["ports"][0]["port"], part(each))
            for rule in spec["ingress"]
            for each in rule.get("from", ({},))
        }
        for name, spec in policies.items()
    }
    assert reached["server"] == {(50551, "proxy"), (9464, "monitoring")}
    assert reached["proxy"] == {(50551, ""), (8404, "monitoring")}
    assert reached.get("redis") in (None, {(6379, "server")})
    assert reached.get("triton") in (None, {(8001, "server"), (8002, "monitoring")})
    for name in set(policies) - {"server", "proxy"}:
        assert "egress" not in policies[name], "they call nobody"


def part(peer: dict[str, Any]) -> str:
    """Whom a peer of a policy stands for; empty: everybody."""
    labels = {
        **peer.get("podSelector", {}).get("matchLabels", {}),
        **peer.get("namespaceSelector", {}).get("matchLabels", {}),
    }
    return str(labels.get("app.kubernetes.io/component", labels.get("kubernetes.io/metadata.name", "")))


@pytest.mark.parametrize("example", ["cpu", "gpu"])
def test_triton_serves_the_model_that_the_servers_ask_for(example: str, tmp_path: Path) -> None:
    made = chart(example)
    settings = in_force(made, tmp_path)
    spec = made.pod("triton")
    (triton,) = spec["containers"]
    assert f"--load-model={settings.triton.model}" in triton["command"]
    assert settings.triton.model in triton["readinessProbe"]["httpGet"]["path"]
    assert (ROOT / "triton_repo" / settings.triton.model / "config.pbtxt").exists()
    gpu = example == "gpu"
    assert ("nvidia.com/gpu" in triton["resources"]["limits"]) is gpu
    assert ("initContainers" in spec) is not gpu
    if gpu:
        assert spec["nodeSelector"]
        assert spec["tolerations"]
    # As with Compose, whose command lines tests/inference_server starts.
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"][f"triton-{example}"]
    assert (triton["image"], triton["command"]) == (compose["image"], compose["entrypoint"])
    assert triton["args"] == compose["command"]


def test_the_engine_is_built_on_the_pool_that_serves_it() -> None:
    made = rendered("gpu+build")
    build = made.one("Job", "build")["spec"]["template"]["spec"]
    serves = made.pod("triton")
    for key in ("nodeSelector", "tolerations"):
        assert build[key] == serves[key]
    claims = [
        {each["persistentVolumeClaim"]["claimName"] for each in spec["volumes"] if each["name"] == "models"}
        for spec in (build, serves)
    ]
    assert claims[0] == claims[1] == {made.one("PersistentVolumeClaim", "triton")["metadata"]["name"]}
    assert build["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
