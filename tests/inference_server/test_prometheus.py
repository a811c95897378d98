"""A real Prometheus reads a real server and a real Triton under load; every rule and picture has its data."""

from __future__ import annotations

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

import grpc
import pytest
import yaml

from affectstream_server.lifecycle import Server
from tests.inference_server.conftest import Bench
from tests.inference_server.test_failures import OpenTalk
from tests.support.otlp import receiver
from tests.support.redis import RedisServer
from tests.support.triton import serving
from tests.support.wire import config, refusal, stub
from tools.dashboards import DASHBOARDS
from tools.prometheus import CONFIG, Prometheus, PrometheusMissing, read_by

WINDOW: Final = "10s"
"""The time that one point of a picture stands for."""
NO_GPU: Final = frozenset(
    {
        "nv_gpu_utilization",
        "nv_gpu_memory_used_bytes",
        "nv_gpu_memory_total_bytes",
        "nv_gpu_power_usage",
        "nv_gpu_power_limit",
    }
)
"""What Triton tells on a machine with a GPU only."""
SEVERAL: Final = frozenset(
    {"affectstream_processes", "affectstream_processes_wanted", "affectstream_processes_ended_total"}
)
"""What the supervisor of several processes tells: tests/wire/processes/test_several.py."""
NOT_HERE: Final = NO_GPU | SEVERAL
_NAMES: Final = re.compile(r"\b(?:nv_\w+|affectstream[:_][\w:]+|process_\w+|up)\b(?!\")")
_COMPARED: Final = re.compile(r" (>=|<=|==|>|<) ")


def expressions() -> Iterator[tuple[str, str]]:
    """Where each query of the dashboards and the rules stands, and the query."""
    for board in DASHBOARDS:
        for panel in board.panels:
            for query in panel.queries if panel.kind != "traces" else ():
                yield f"{board.title}: {panel.title}", query.replace("$__rate_interval", WINDOW)
    for file in sorted(CONFIG.parent.glob("rules/*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                # A comparison that is false has no sample: as a number it has, whichever way it went.
                yield rule.get("record") or rule["alert"], _COMPARED.sub(r" \1 bool ", rule["expr"])


EXPRESSIONS: Final = tuple(expressions())


def prometheus_of(folder: Path, server: Server, bench: Bench) -> Prometheus:
    """Prometheus as it is deployed, but in a hurry."""
    folder.mkdir()
    targets = {
        "affectstream": [server.telemetry.metrics_address],
        "triton": [f"127.0.0.1:{bench.triton.ports.metrics}"],
    }
    try:
        return Prometheus(
            folder,
            read_by(targets, folder, scrape_interval="500ms", evaluation_interval="1s"),
            ["--enable-feature=exemplar-storage"],
        )
    except PrometheusMissing as missing:
        pytest.skip(str(missing))


def unanswered(prometheus: Prometheus) -> list[str]:
    """Queries that name what this machine can have, and that give no number."""
    return [
        f"{place}: {query}"
        for place, query in EXPRESSIONS
        if not NOT_HERE & set(_NAMES.findall(query))
        and all(math.isnan(float(sample["value"][1])) for sample in prometheus.query(query))
    ]


async def refused_for_want_of_a_place(server: Server) -> None:
    async with stub(server.address) as service:
        other: Any = service.StreamAffect()
        await other.write(config())
        await other.read()
        refused = await refusal(server.address, [config()])
        assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        other.cancel()


async def test_what_rules_and_dashboards_ask_for_is_there_under_load(
    bench: Bench, tmp_path: Path, figure: Callable[[str], None]
) -> None:
    redis = RedisServer(tmp_path / "redis")
    redis.start()
    try:
        with receiver() as spans:
            sections: dict[str, Any] = {
                "telemetry": {"metrics": True, "metrics_address": "127.0.0.1:0", "traces": spans.url},
                "server": {"max_streams": 2},
                "bus": {"url": redis.url},
                "triton": {"fallback": True},
            }
            async with serving(bench.triton.address, **sections) as server:
                await look(prometheus_of(tmp_path / "p", server, bench), server, figure)
            assert spans.named("affectstream.utterance")
    finally:
        redis.kill()


async def look(prometheus: Prometheus, server: Server, figure: Callable[[str], None]) -> None:
    await asyncio.to_thread(prometheus.start)
    talk = OpenTalk(server.address)
    try:
        await refused_for_want_of_a_place(server)
        began = time.monotonic()
        missing = [""]
        while missing and time.monotonic() < began + 40:
            await asyncio.sleep(0.5)
            missing = await asyncio.to_thread(unanswered, prometheus)
        assert missing == []
        there = set(await asyncio.to_thread(prometheus.get, "label/__name__/values"))
        named = {name for _, query in EXPRESSIONS for name in _NAMES.findall(query)}
        assert named - there == NOT_HERE
        rules = await asyncio.to_thread(prometheus.get, "rules")
        health = [rule["health"] for group in rules["groups"] for rule in group["rules"]]
        assert set(health) == {"ok"}
        kept = await asyncio.to_thread(
            prometheus.get,
            "query_exemplars",
            query="affectstream_final_duration_seconds_bucket",
            start=str(time.time() - 60),
            end=str(time.time()),
        )
        traces = {exemplar["labels"]["trace_id"] for series in kept for exemplar in series["exemplars"]}
        said = {event.traceparent.split("-")[1] for event in talk.finals_since(0)}
        assert traces
        assert traces <= said, "an exemplar names the trace of an utterance"
        figure(
            f"Prometheus: {len(EXPRESSIONS)} queries over {len(named)} metrics answered under load, "
            f"{len(NO_GPU)} metrics of a GPU left out; {len(health)} rules; {len(traces)} traces by exemplars"
        )
    finally:
        await talk.end()
        await asyncio.to_thread(prometheus.stop)
