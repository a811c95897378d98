"""Nothing of telemetry stays behind: no span, no thread, no queue that grows."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from affectstream_server.lifecycle import Server
from tests.support.metrics import scrape
from tests.support.otlp import Receiver, receiver
from tests.support.speech import sample_talk
from tests.support.telemetry import PARENT, talk, until
from tests.support.wire import END, chunks, config, running_server, stub

STREAMS = 1_000
AT_ONCE = 50


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def counts(server: Server) -> Any:
    telemetry: Any = server.telemetry
    return telemetry.tracing.counts


def both(spans: Receiver, **settings: Any) -> dict[str, Any]:
    telemetry = {"traces": spans.url, "metrics": True, "metrics_address": "127.0.0.1:0", **settings}
    return {"telemetry": telemetry}


@pytest.mark.fault("lost call")
@pytest.mark.timeout(180)
async def test_a_thousand_cancelled_streams_leave_no_span_open(
    spans: Receiver, figure: Callable[[str], None]
) -> None:
    """Left at any moment: before the config, in silence, in speech, while a score is on its way."""
    requests = [config(), *chunks(sample_talk()[:40_000].tobytes(), 6_400)]
    chance = random.Random(11)  # noqa: S311 - the same moments each time

    async def leave(service: Any, after: int) -> None:
        call = service.StreamAffect(metadata=PARENT)
        for request in requests[:after]:
            await call.write(request)
        await asyncio.sleep(chance.uniform(0, 0.02))
        call.cancel()

    async with running_server(both(spans)) as server:
        async with stub(server.address) as service:
            for _ in range(STREAMS // AT_ONCE):
                moments = [chance.randrange(len(requests) + 1) for _ in range(AT_ONCE)]
                await asyncio.gather(*(leave(service, after) for after in moments))
        await until(lambda: server.pipeline.streams == 0)
        await until(lambda: counts(server)["open"] == 0)
        seen = await scrape(server)
    assert seen.value("affectstream_spans_open") == 0
    ended = [span for span in spans.spans if span.name in ("affectstream.stream", "affectstream.stream.end")]
    cancelled = [span for span in ended if span.attributes.get("rpc.response.status_code") == "CANCELLED"]
    assert {span.status for span in cancelled} == {0}
    calls = seen.value("affectstream_rpcs_total", method="StreamAffect")
    assert calls >= 0.9 * STREAMS, "few were gone before the server saw them"
    assert len(cancelled) == seen.value("affectstream_rpcs_total", status="CANCELLED") == calls
    assert counts(server)["dropped"] == counts(server)["failed"] == 0
    figure(f"{calls:.0f} streams cancelled, {len(spans.spans)} spans, 0 open")


async def test_a_receiver_that_is_away_costs_spans_and_nothing_else(spans: Receiver) -> None:
    """Nobody listens there: the queue is full, the rest is dropped and counted, and every final comes."""
    telemetry = {"traces": "http://127.0.0.1:9", "span_queue": 16, "export_timeout_s": 0.2}
    async with running_server({"telemetry": telemetry}) as server:
        events = await talk(server, config(), *chunks(sample_talk().tobytes()), END)
        assert events[-1].HasField("session_closed")
    assert counts(server)["exported"] == 0
    assert counts(server)["dropped"] + counts(server)["failed"] > 16, "more than the queue holds"
    assert spans.spans == []


async def test_its_threads_go_with_the_server(spans: Receiver) -> None:
    before = set(threading.enumerate())
    async with running_server(both(spans)) as server:
        await scrape(server)
    theirs = ("asyncio_", "Thread-1 (_poll_wrapper)")  # the event loop's and gRPC's
    left = [thread.name for thread in set(threading.enumerate()) - before if thread.is_alive()]
    assert [name for name in left if not name.startswith(theirs)] == []


async def test_what_is_off_is_not_there() -> None:
    async with running_server() as server:
        assert server.telemetry.calls is None
        assert type(server.telemetry.observer).__name__ == "Observer"
        assert server.telemetry.metrics_address == ""
