"""Two processes behind one port are one server: sessions, bounds, watchers and metrics know no difference."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.metrics import Scrape, read
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, of_tenant, watched, watching, without_token
from tests.support.wire import END, error_info, finals, of_kind, seconds, stream_talk
from tests.wire.processes.several import asked, lines_to_each, mark_of, on, two_processes
from tests.wire.resuming import Call, frames, in_order

TALK = sample_talk()[: 16 * 9_000]
"""Two utterances, and the beginning of the third."""
DATA = TALK.tobytes()
CUT = 16 * 5_600
"""Inside the second."""
STREAMS = 4


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """Where it listens, and where Prometheus reads."""
    log = tmp_path_factory.mktemp("several") / "log"
    metrics = {"TELEMETRY__METRICS": "true", "TELEMETRY__METRICS_ADDRESS": "127.0.0.1:0"}
    with two_processes(log, QUOTAS__STREAMS=str(STREAMS), **metrics) as (_, address):
        (page,) = re.findall(r"http://(127\.0\.0\.1:\d+)/metrics", log.read_text())
        yield address, page


@pytest.fixture
async def lines(server: tuple[str, str]) -> Any:
    """A stub for each process."""
    async with lines_to_each(server[0]) as each:
        yield each


async def refusal(service: Any, first: pb.StreamAffectRequest) -> grpc.aio.AioRpcError:
    """The error of a stream that does not begin."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        async with asyncio.timeout(5):
            async for _ in service.StreamAffect(iter([first])):
                raise AssertionError("it began")
    return caught.value


def heard_until(samples: int) -> Any:
    return lambda events: any(p.received_until_samples >= samples for p in of_kind(events, "progress"))


def bounds(events: list[pb.SessionEvent]) -> list[tuple[float, float]]:
    return [(seconds(final.audio_start), seconds(final.audio_end)) for final in finals(events)]


async def end(call: Call) -> None:
    await call.send([END])
    await call.call.done_writing()
    assert await call.to_the_end() is grpc.StatusCode.OK


async def speak(call: Call, start: int, end: int) -> None:
    await call.send(frames(DATA, start, end))


async def test_a_stream_that_lands_elsewhere_goes_on_with_its_session(
    server: tuple[str, str], lines: list[Any]
) -> None:
    """There and back: at its own process again it goes on, too."""
    quick = pb.OutputConfig(progress_interval_ms=100)
    here, there = lines
    async with on(here, asked(outputs=quick)) as first:
        await speak(first, 0, CUT)
        await first.until(heard_until(CUT))
    async with on(there, first.next(offset=CUT)) as second:
        assert second.started.resumed
        assert mark_of(second) == mark_of(first), "the session stays where it is"
        await speak(second, CUT, CUT + 16_000)
        await second.until(heard_until(CUT + 16_000))
    async with on(here, second.next(offset=CUT + 16_000)) as third:
        await speak(third, CUT + 16_000, len(TALK))
        await end(third)
    events = in_order([first, second, third])
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert not of_kind(events, "gap")
    uncut = await stream_talk(server[0], TALK)
    assert len(bounds(uncut)) >= 2
    assert bounds(events) == bounds(uncut)


async def test_a_refusal_of_the_other_process_comes_as_it_is(lines: list[Any]) -> None:
    here, there = lines
    async with on(here, asked(labels={"a": "b"})) as call:
        wrong = call.next(offset=0)
        wrong.config.labels["a"] = "c"
        error = await refusal(there, wrong)
        assert (error.code(), error_info(error).reason) == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "RESUME_CONFIG_DIFFERS",
        )
        gone = call.next(offset=0)
        gone.config.resume.resume_token = gone.config.resume.resume_token[:-4] + b"\xff\xff\xff\xff"
        assert error_info(await refusal(there, gone)).reason == "SESSION_NOT_FOUND"
        await end(call)


async def test_an_id_is_one_session_s_over_all_processes(lines: list[Any]) -> None:
    here, there = lines
    async with on(here, asked(session_id="call-7")) as call:
        error = await refusal(there, asked(session_id="call-7"))
        assert (error.code(), error_info(error).reason) == (grpc.StatusCode.ALREADY_EXISTS, "SESSION_EXISTS")
        await end(call)
    async with on(there, asked(session_id="call-7")) as again:
        assert again.events[0].session_id == "call-7"
    error = await refusal(here, asked(session_id="call-7"))
    assert error_info(error).reason == "SESSION_EXISTS", "it waits to be continued"


async def test_of_two_that_begin_at_once_one_gets_the_id(lines: list[Any]) -> None:
    for attempt in range(10):
        first = asked(session_id=f"both-{attempt}")
        calls = [Call(service.StreamAffect(), first) for service in lines]
        await asyncio.gather(*(call.send([first]) for call in calls))
        begun = [call.until(lambda events: events) for call in calls]
        (error,) = (e for e in await asyncio.gather(*begun, return_exceptions=True) if e is not None)
        assert isinstance(error, grpc.aio.AioRpcError)
        assert error.code() is grpc.StatusCode.ALREADY_EXISTS
        for call in calls:
            call.call.cancel()


async def test_a_quota_holds_over_all_processes_and_what_ends_is_free_again(lines: list[Any]) -> None:
    here, there = lines
    async with on(here, asked()), on(here, asked()), on(there, asked()):
        async with on(there, asked()):
            for service in lines:
                error = await refusal(service, asked())
                assert error_info(error).reason == "TENANT_STREAMS"
                assert error_info(error).metadata["limit"] == str(STREAMS)
        async with asyncio.timeout(5):
            while True:
                try:
                    async with on(here, asked()):
                        break
                except grpc.aio.AioRpcError:  # the one before is just being noticed to be gone
                    await asyncio.sleep(0.01)


async def test_who_watches_sees_sessions_of_every_process(server: tuple[str, str], lines: list[Any]) -> None:
    address, _ = server
    async with watching(address, of_tenant()) as tenants:
        for number, service in enumerate(lines):
            async with on(service, asked(session_id=f"seen-{number}")) as call:
                await speak(call, 0, CUT)
                await end(call)
            for _ in range(4):  # whichever process answers
                events = await watched(address, of_session(f"seen-{number}", start=EARLIEST))
                assert events == without_token(call.events)
        ours = {"seen-0", "seen-1"}
        ended = lambda events: {e.session_id for e in events if e.HasField("session_closed")} >= ours  # noqa: E731
        await tenants.until(ended)
    for number, service in enumerate(lines):
        request = pb.PurgeSessionRequest(session_id=f"seen-{1 - number}")
        assert (await service.PurgeSession(request)).events
        with pytest.raises(grpc.aio.AioRpcError, match="NOT_FOUND"):
            await lines[1 - number].PurgeSession(request)


async def test_metrics_are_those_of_one_server(server: tuple[str, str], lines: list[Any]) -> None:
    before = Scrape(await asyncio.to_thread(read, server[1]))
    for service in lines:
        async with on(service, asked()) as call:
            await speak(call, 0, CUT)
            await end(call)
    async with on(lines[0], asked()), on(lines[1], asked()):
        seen = Scrape(await asyncio.to_thread(read, server[1]))
    said = len(finals(call.events))
    assert said
    grown = seen.value("affectstream_utterances_total") - before.value("affectstream_utterances_total")
    assert grown == 2 * said
    for name in ("affectstream_streams", "affectstream_processes", "affectstream_processes_wanted"):
        assert seen.value(name) == 2
    assert seen.value("affectstream_processes_ended_total") == 0
    assert [s.value for s in seen.samples if s.name == "affectstream_ready"] == [1]
    named = {s.labels["process"] for s in seen.samples if s.name == "process_resident_memory_bytes"}
    assert named == {"1", "2", "supervisor"}
    assert seen.exemplars("affectstream_final_duration_seconds") or "trace_id" not in seen.text
