"""A server's metrics, as they are read over HTTP."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from affectstream.v1 import affect_pb2 as pb
from affectstream_server import __version__
from affectstream_server.auth import tokens
from affectstream_server.cannot_listen import CannotListen
from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry import names
from affectstream_server.telemetry.meters import Meters
from affectstream_server.telemetry.names import METRICS
from tests.support.metrics import read, scrape
from tests.support.speech import sample_talk
from tests.support.telemetry import until
from tests.support.wire import audio, config, finals, refusal, running_server, stream_talk, stub

ON = {"telemetry": {"metrics": True, "metrics_address": "127.0.0.1:0"}}


async def test_what_is_open_is_counted_while_it_is() -> None:
    async with running_server(ON) as server:
        before = await scrape(server)
        async with stub(server.address) as service:
            call = service.StreamAffect()
            await call.write(config(session_id="s"))
            await call.read()
            during = await scrape(server)
            call.cancel()
        assert during.value("affectstream_build_info", version=__version__) == 1
        assert during.value("affectstream_ready") == 1
        assert during.value("affectstream_streams") == 1
        assert during.value("affectstream_sessions") == 1
        assert during.value("affectstream_tasks") > before.value("affectstream_tasks") > 0
        assert during.value("affectstream_model_ready", model="affect-embedded") == 1
        assert during.value("affectstream_bus_published_total") >= 1
        assert during.value("process_resident_memory_bytes") > 10e6
    assert server.telemetry.metrics_address == "", "it is gone with the server"


async def test_prometheus_own_text_is_served_too() -> None:
    async with running_server(ON) as server:
        assert "# TYPE affectstream_streams gauge" in read(server.telemetry.metrics_address, "text/plain")


async def test_an_address_that_is_taken_is_named() -> None:
    async with running_server(ON) as server:
        taken = {"telemetry": ON["telemetry"] | {"metrics_address": server.telemetry.metrics_address}}
        with pytest.raises(CannotListen, match=r"telemetry\.metrics_address: cannot listen on 127\.0\.0\.1"):
            async with running_server(taken):
                pass


async def test_a_conversation_is_counted_where_it_went(figure: Any) -> None:
    sections: dict[str, Any] = {"telemetry": ON["telemetry"] | {"answers": True}}
    async with running_server(sections) as server:
        events = finals(await stream_talk(server.address, sample_talk()))
        seen = await scrape(server)
    by_status = Counter(pb.AffectStatus.Name(event.status)[14:] for event in events)
    for status, count in by_status.items():
        assert seen.value("affectstream_utterances_total", status=status) == count
    stage = "affectstream_stage_duration_seconds"
    for name in ("hangover", "decision", "compute", "decide", "queue"):
        field = f"{name}_ms"
        timings: list[Any] = [event.timing for event in events]
        told = [getattr(timing, field) / 1_000 for timing in timings if timing.HasField(field)]
        assert seen.value(f"{stage}_count", stage=name) == len(told)
        assert seen.value(f"{stage}_sum", stage=name) == pytest.approx(sum(told), abs=1e-4)
    for name in ("emit", "publish"):
        assert seen.value(f"{stage}_count", stage=name) == len(events)
    final = "affectstream_final_duration_seconds"
    for flag in (True, False):
        count = sum(event.timing.speculated is flag for event in events)
        assert seen.value(f"{final}_count", speculated=str(flag).lower()) == count
    used = sum(event.timing.speculated for event in events)
    assert seen.value("affectstream_speculations_total", outcome="used") == used > 0
    blocks = seen.value("affectstream_detection_blocks_total")
    assert blocks == pytest.approx(len(sample_talk()) / 512, abs=1)
    assert seen.value("affectstream_detection_batch_blocks_sum") == blocks
    assert seen.value("affectstream_detection_duration_seconds_count") > 0
    assert seen.value("affectstream_loop_lag_seconds_count") > 0
    assert seen.value("affectstream_rpcs_total", method="StreamAffect", status="OK") == 1
    assert seen.value("affectstream_sessions_closed_total", reason="END_OF_AUDIO") == 1
    scored = [event for event in events if event.emotions]
    assert seen.value("affectstream_confidence_count", model="affect-embedded") == len(scored)
    assert 0.25 <= seen.value("affectstream_confidence_mean", model="affect-embedded") <= 1
    labels = Counter(event.top_label for event in events if event.status == pb.AFFECT_STATUS_OK)
    for label, count in labels.items():
        assert seen.value("affectstream_answers_total", label=label) == count
    figure(f"one scrape: {len(seen.samples)} samples, {len(seen.text)} bytes")


async def test_refusals_are_counted_by_their_reason() -> None:
    async with running_server({**ON, "server": {"max_streams": 1}}) as server:
        await refusal(server.address, [config(), audio(b"\0")])
        async with stub(server.address) as service:
            call = service.StreamAffect()
            await call.write(config())
            await call.read()
            await refusal(server.address, [config()])
            call.cancel()
        await until(lambda: server.pipeline.streams == 0)
        seen = await scrape(server)
    many = {"method": "StreamAffect", "reason": "TOO_MANY_STREAMS"}
    assert seen.value("affectstream_refused_total", **many) == 1
    assert seen.value("affectstream_rpcs_total", status="RESOURCE_EXHAUSTED") == 1
    assert seen.value("affectstream_rpcs_total", status="INVALID_ARGUMENT") == 1
    assert seen.value("affectstream_rpcs_total", status="CANCELLED") == 1
    assert seen.value("affectstream_sessions_closed_total", reason="ABANDONED") == 1


async def test_a_token_that_is_refused_is_counted_too(tmp_path: Path) -> None:
    _, line = tokens.make("acme", "agent", None)
    (tmp_path / "tokens.yaml").write_text(line)
    async with running_server({**ON, "auth": {"tokens_file": str(tmp_path / "tokens.yaml")}}) as server:
        await refusal(server.address, [config()])
        seen = await scrape(server)
    assert seen.value("affectstream_rpcs_total", status="UNAUTHENTICATED") == 1
    assert seen.value("affectstream_refused_total", reason="TOKEN_NOT_ACCEPTED") == 1


@pytest.mark.parametrize(
    ("most", "expected"), [(0, {}), (1, {"a": 2, "other": 2}), (5, {"a": 2, "b": 1, "c": 1})]
)
def test_tenants_are_named_up_to_a_number(most: int, expected: dict[str, int]) -> None:
    registry = CollectorRegistry()
    meters = Meters(registry, TelemetrySettings(tenants=most))
    event = pb.AffectEvent(status=pb.AFFECT_STATUS_INSUFFICIENT_SPEECH)
    for tenant in ("a", "b", "c", "a"):
        meters.decided(event, None, tenant, None)
    name = "affectstream_tenant_utterances_total"
    assert {tenant: registry.get_sample_value(name, {"tenant": tenant}) for tenant in expected} == expected
    assert registry.get_sample_value(name, {"tenant": "b"}) == expected.get("b")


async def test_what_callers_choose_is_in_no_label() -> None:
    async with running_server(ON) as server:
        for number in range(3):
            fields = {"session_id": f"chosen-{number}", "labels": {"chosen": "chosen"}, "language_code": "de"}
            await stream_talk(server.address, sample_talk()[:32_000], **fields)
        await refusal(server.address, [config(model="chosen-model")])
        before = await scrape(server)
        await stream_talk(server.address, sample_talk()[:32_000], session_id="chosen-again")
        after = await scrape(server)
    assert "chosen" not in before.text
    series = {(sample.name, *sorted(sample.labels.items())) for sample in before.samples}
    assert {(sample.name, *sorted(sample.labels.items())) for sample in after.samples} <= series


async def test_every_metric_that_is_exposed_is_written_down() -> None:
    async with running_server(ON) as server:
        await stream_talk(server.address, sample_talk())
        text = read(server.telemetry.metrics_address, "text/plain")
    exposed = set(re.findall(r"^# TYPE (affectstream_\w+) ", text, re.MULTILINE))
    exposed = {name for name in exposed if not name.endswith("_created")}
    known = {metric.exposed for metric in METRICS}
    assert exposed <= known
    traced_or_exported = (names.SPANS, names.SPANS_OPEN, names.METRIC_EXPORTS)
    of_several_processes = (names.PROCESSES, names.PROCESSES_WANTED, names.PROCESSES_ENDED)
    only_sometimes = {metric.exposed for metric in (*traced_or_exported, *of_several_processes)}
    assert known - exposed == only_sometimes
