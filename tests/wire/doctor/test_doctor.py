"""`affectstream doctor` before real deployments, each with one thing broken."""

from __future__ import annotations

import asyncio
import json
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from affectstream import AffectClient
from affectstream.doctor.examine import Patient, examine
from affectstream.doctor.findings import CHECKS, Finding, Report
from affectstream.timeouts import Timeouts
from affectstream.tls import Tls
from affectstream_server.auth import tokens
from affectstream_server.lifecycle import Server
from tests.support.bridge import running_bridge
from tests.support.otlp import receiver
from tests.support.pki import Pki
from tests.support.redis import RedisServer
from tests.support.speech import sample_talk
from tests.support.wire import config, running_server, stub

Found = dict[str, Finding]
ROOT = Path(__file__).resolve().parents[3]
PAGES = {str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md")}


async def look(address: str, *, tls: Tls | None = None, token: str = "", **more: Any) -> Found:
    """Every finding by its check, and that there is one of each and each that is bad says what helps."""
    given = {"deadline_s": 5.0} | more
    limit = given["deadline_s"]
    client = AffectClient(
        address,
        tls=tls or False,
        token=token or None,
        timeouts=Timeouts(connect_s=limit, call_s=limit, session_start_s=limit, idle_s=limit),
    )
    patient = Patient(
        address=address, tls=tls, client=client, has_token=bool(token), sound=sample_talk()[:80_000], **given
    )
    findings = [finding async for finding in examine(patient)]
    assert [finding.check for finding in findings] == list(CHECKS)
    for finding in findings:
        assert bool(finding.mend) is (finding.state in ("warn", "fail")), finding
        for word in finding.mend.split():
            assert not word.strip(";,").endswith(".md") or word.strip(";,") in PAGES
    return {finding.check: finding for finding in findings}


def bad(found: Found) -> list[str]:
    return [check for check, finding in found.items() if finding.state in ("warn", "fail")]


def closed_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@asynccontextmanager
async def guarded(pki: Pki, folder: Path) -> AsyncIterator[tuple[Server, str]]:
    """A server with TLS and tokens, and a token."""
    secret, line = tokens.make("acme", "agent", None)
    (folder / "tokens.yaml").write_text(line)
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key}
    overrides = {"tls": tls, "auth": {"tokens_file": str(folder / "tokens.yaml")}}
    async with running_server(overrides) as server:
        yield server, secret


async def test_a_deployment_that_is_well(pki: Pki, tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    secret, line = tokens.make("acme", "agent", None)
    (tmp_path / "tokens.yaml").write_text(line)
    (tmp_path / "agent.token").write_text(secret)
    try:
        with receiver() as spans:
            overrides: dict[str, dict[str, Any]] = {
                "tls": {"cert_file": pki.server.cert, "key_file": pki.server.key},
                "auth": {"tokens_file": str(tmp_path / "tokens.yaml")},
                "telemetry": {"metrics": True, "metrics_address": "127.0.0.1:0", "traces": spans.url},
                "bus": {"url": redis.url},
                "consent": {"required": True},
            }
            async with running_server(overrides) as server:
                trust = Tls(ca_file=pki.ca, server_name="localhost")
                async with running_bridge(server.address, tls=trust) as bridge:
                    process = await asyncio.create_subprocess_exec(
                        *(sys.executable, "-m", "affectstream.cli", "doctor", server.address, "--json"),
                        *("--ca", pki.ca, "--server-name", "localhost"),
                        *("--token-file", str(tmp_path / "agent.token")),
                        *("--metrics", server.telemetry.metrics_address),
                        *("--collector", spans.url, "--bridge", f"http://{bridge.address}"),
                        stdout=asyncio.subprocess.PIPE,
                        stderr=asyncio.subprocess.PIPE,
                    )
                    out, err = await process.communicate()
    finally:
        redis.kill()
    assert (process.returncode, err) == (0, b""), out.decode()
    told = json.loads(out)
    assert told["ok"] is True
    assert [check["check"] for check in told["checks"]] == list(CHECKS)
    assert {check["state"] for check in told["checks"]} == {"ok"}, out.decode()
    assert secret not in out.decode()


async def test_a_wrong_port() -> None:
    address = f"127.0.0.1:{closed_port()}"
    found = await look(address)
    assert bad(found) == ["reach"]
    assert found["reach"].said == f"{address}: connection refused"
    assert found["health"].said == "reach failed"


@pytest.mark.parametrize("name", ["affect.invalid", "affect..invalid"])
async def test_a_name_that_nobody_has(name: str) -> None:
    found = await look(f"{name}:50551")
    assert bad(found) == ["reach"]
    assert "no such host name" in found["reach"].said


@pytest.mark.parametrize(("left", "state"), [(timedelta(seconds=4), "fail"), (timedelta(days=5), "warn")])
async def test_a_certificate_that_expired_while_it_was_served_or_will_soon(
    pki: Pki, left: timedelta, state: str
) -> None:
    until = datetime.now(UTC) + left
    pair = pki.ours.issue("localhost", until=until)
    tls = {"cert_file": pair.cert, "key_file": pair.key}
    async with running_server({"tls": tls}) as server:
        if state == "fail":
            await asyncio.sleep(until.timestamp() - time.time() + 1.1)
        found = await look(server.address, tls=Tls(ca_file=pki.ca, server_name="localhost"))
    assert bad(found) == ["tls"]
    assert found["tls"].state == state
    assert ("has expired" in found["tls"].said) is (state == "fail")


async def test_what_a_certificate_and_a_token_may_lack(pki: Pki, tmp_path: Path) -> None:
    async with guarded(pki, tmp_path) as (server, secret):
        named = Tls(ca_file=pki.ca, server_name="localhost")
        cases: list[tuple[dict[str, Any], str, str]] = [
            (
                {"tls": Tls(ca_file=pki.ca, server_name="other.example")},
                "tls",
                "for another name than other.ex",
            ),
            ({"tls": Tls(ca_file=pki.ca)}, "tls", "for another name than 127.0.0.1"),
            ({"tls": Tls(ca_file=pki.theirs.file, server_name="localhost")}, "tls", "CA that is not trusted"),
            ({}, "tls", "the server speaks TLS"),
            ({"tls": named}, "token", "the server asks for a token"),
            ({"tls": named, "token": "afs_" + "x" * 43}, "token", "the token is not accepted"),
        ]
        for arguments, check, said in cases:
            found = await look(server.address, **arguments)
            assert bad(found) == [check], found
            assert said in found[check].said
            assert found["canary"].state == "skip"
        assert bad(await look(server.address, tls=named, token=secret)) == []


async def test_a_server_that_wants_a_certificate_of_callers(pki: Pki) -> None:
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key, "client_ca_file": pki.ca}
    agent = pki.ours.issue("agent")
    async with running_server({"tls": tls}) as server:
        without = Tls(ca_file=pki.ca, server_name="localhost")
        shown = Tls(ca_file=pki.ca, server_name="localhost", cert_file=agent.cert, key_file=agent.key)
        found = await look(server.address, tls=without, deadline_s=2.0)
        assert bad(await look(server.address, tls=shown)) == []
    assert bad(found)[0] == "health"
    assert "--cert, --key" in found["health"].mend


async def test_tls_to_a_server_that_has_none(pki: Pki) -> None:
    async with running_server() as server:
        found = await look(server.address, tls=Tls(ca_file=pki.ca))
    assert bad(found) == ["tls"]
    assert found["tls"].said == "the server does not speak TLS"


@pytest.mark.parametrize("fallback", [False, True])
async def test_triton_is_down(fallback: bool) -> None:
    triton = {"address": f"127.0.0.1:{closed_port()}", "fallback": fallback}
    telemetry = {"metrics": True, "metrics_address": "127.0.0.1:0"}
    async with running_server({"triton": triton, "telemetry": telemetry}) as server:
        found = await look(server.address, metrics=server.telemetry.metrics_address, deadline_s=3.0)
    if fallback:
        assert bad(found) == ["canary", "stream", "metrics"]
        assert {found[check].state for check in bad(found)} == {"warn"}
        assert "the embedded model answered in place" in found["canary"].said
        assert found["metrics"].said == "they say: a model may not serve"
    else:
        assert {"health", "canary", "stream", "metrics"} <= set(bad(found))
        assert found["health"].said == "the process lives and takes no streams"
        assert found["metrics"].said == "they say: the server is not ready"
        assert found["token"].state == "ok"


async def test_redis_is_down(tmp_path: Path) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    overrides = {
        "bus": {"url": redis.url, "timeout_ms": 500},
        "telemetry": {"metrics": True, "metrics_address": "127.0.0.1:0"},
    }
    try:
        async with running_server(overrides) as server:
            redis.kill()
            found = await look(server.address, metrics=server.telemetry.metrics_address)
    finally:
        redis.kill()
    assert bad(found) == ["bus", "metrics"]
    assert found["bus"].state == "fail"
    assert "Redis" in found["bus"].mend
    assert found["stream"].state == "ok", "no stream notices"


async def test_the_server_drains() -> None:
    async with running_server({"server": {"drain_s": 8.0}}) as server, stub(server.address) as service:
        call: Any = service.StreamAffect()
        await call.write(config())
        await call.read()
        stopping = asyncio.create_task(server.drain_and_stop())
        await asyncio.sleep(0.1)
        found = await look(server.address)
        call.cancel()
        await stopping
    assert {"health", "stream"} <= set(bad(found))
    assert "drain" in found["stream"].said or "shutting down" in found["stream"].said


async def test_nothing_is_retained_to_be_watched() -> None:
    async with running_server({"bus": {"retention_events": 0}}) as server:
        found = await look(server.address)
    assert bad(found) == ["bus"]
    assert found["bus"].state == "warn"


async def test_what_stands_around_is_wrong() -> None:
    telemetry = {"metrics": True, "metrics_address": "127.0.0.1:0"}
    async with running_server({"telemetry": telemetry}) as server:
        page = server.telemetry.metrics_address
        async with running_bridge(f"127.0.0.1:{closed_port()}") as bridge:
            found = await look(
                server.address,
                metrics=bridge.address,
                collector=f"http://{bridge.address}",
                bridge=f"http://{bridge.address}",
            )
        gone = await look(
            server.address,
            metrics=f"127.0.0.1:{closed_port()}",
            collector=f"http://127.0.0.1:{closed_port()}",
            bridge=f"http://{page}",
        )
    assert bad(found) == bad(gone) == ["metrics", "traces", "bridge"]
    assert "no metrics page of Affectstream" in found["metrics"].said
    assert "answers 40" in found["traces"].said
    assert "for what is behind it" in found["bridge"].said
    assert "connection refused" in gone["metrics"].said
    assert "connection refused" in gone["traces"].said


async def test_people_get_lines_and_scripts_an_exit_status(capsys: pytest.CaptureFixture[str]) -> None:
    from affectstream import cli

    address = f"127.0.0.1:{closed_port()}"
    status = await asyncio.to_thread(cli.main, ["doctor", address])
    lines = capsys.readouterr().out.splitlines()
    assert status == 1
    assert lines[0].startswith("fail  reach")
    assert lines[1].strip().startswith("mend: start the server")
    assert lines[-1] == f"{address}: 0 ok, 0 warn, 1 fail"
    for arguments in (["50551"], ["a:b"], ["127.0.0.1:1", "--bridge", "127.0.0.1:8080"]):
        assert await asyncio.to_thread(cli.main, ["doctor", *arguments]) == 2
    assert "expected http://" in capsys.readouterr().err


def test_a_warning_is_no_failure() -> None:
    findings = (Finding("bus", "warn", "it is slow", "make it quick"), Finding("reach", "ok", "there"))
    assert Report("a:1", findings).ok
    assert not Report("a:1", (*findings, Finding("tls", "fail", "no", "yes"))).ok
