"""Each turn of a stream in a trace of its own, where its caller says so."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from affectstream import AffectClient, AffectEvent, TurnAffect, errors
from affectstream.v1 import affect_pb2 as pb
from tests.support.otlp import Receiver, receiver
from tests.support.speech import sample_talk
from tests.support.telemetry import CALLER, TRACE, talk, tracing
from tests.support.wire import END, Request, chunks, config, finals, of_kind

FIRST, SECOND = "1af7651916cd43dd8448eb211c80319d", "2af7651916cd43dd8448eb211c80319e"
TALK = sample_talk()


@pytest.fixture
def spans() -> Iterator[Receiver]:
    with receiver() as seen:
        yield seen


def begin(turn_id: str, traceparent: str) -> Request:
    started = pb.TurnStarted(turn_id=turn_id, traceparent=traceparent)
    return Request(control=pb.Control(control_id=f"begin-{turn_id}", turn_started=started))


def end(turn_id: str) -> Request:
    return Request(control=pb.Control(turn_ended=pb.TurnEnded(turn_id=turn_id)))


def part(start_s: float, end_s: float) -> Iterator[Request]:
    yield from chunks(TALK[round(start_s * 16_000) : round(end_s * 16_000)].tobytes())


async def test_utterances_stand_below_their_turns_span(spans: Receiver) -> None:
    requests = (
        *(begin("a", f"00-{FIRST}-{CALLER}-01"), *part(0, 7.2), end("a")),
        *(begin("b", f"00-{SECOND}-{CALLER}-00"), *part(7.2, 10.4), end("b")),
        *part(10.4, 22),
    )
    async with tracing(spans) as server:
        said = await talk(server, config(), *requests, END)
    events = finals(said)
    of_turn = {"a": FIRST, "b": SECOND, "": TRACE}
    assert {event.turn_id for event in events} == set(of_turn)
    for event in events:
        assert event.traceparent.split("-")[1] == of_turn[event.turn_id]
    [stream] = spans.named("affectstream.stream")
    assert stream.trace_id == TRACE, "the stream stays where the call put it"
    seen = {
        span.attributes["affectstream.utterance.id"]: span for span in spans.named("affectstream.utterance")
    }
    assert set(seen) == {event.utterance_id for event in events if event.turn_id != "b"}, "b is not sampled"
    for event in events:
        if event.turn_id != "b":
            span = seen[event.utterance_id]
            assert (span.trace_id, span.parent_id) == (of_turn[event.turn_id], CALLER)
            assert span.links == (stream.span_id,)
            assert event.traceparent == span.traceparent
    for turn in of_kind(said, "turn_affect"):
        last = [event for event in events if event.turn_id == turn.turn_id][-1]
        assert (turn.timing, turn.traceparent) == (last.timing, last.traceparent), "what the turn waited for"
        assert last.timing.HasField("decide_ms")


@pytest.mark.parametrize(
    "given",
    [
        "no trace",
        f"00-{'0' * 32}-{CALLER}-01",
        f"00-{FIRST}-{'0' * 16}-01",
        f"ff-{FIRST}-{CALLER}-01",
        f"00-{FIRST.upper()}-{CALLER}-01",
        f"00-{FIRST}-{CALLER}-01\n",
        "x" * 10_000,
    ],
)
async def test_a_malformed_one_is_ignored_and_the_turn_begins(spans: Receiver, given: str) -> None:
    async with tracing(spans) as server:
        events = await talk(server, config(), begin("a", given), *part(0, 3.5), END)
    [warning] = of_kind(events, "warning")
    assert (warning.code, warning.field) == ("TRACEPARENT_MALFORMED", "control.turn_started.traceparent")
    assert warning.value == given[:64]
    assert not warning.control_id, "the control took effect"
    assert "begin-a" in [done.control_id for done in of_kind(events, "control_done")]
    [turn] = of_kind(events, "turn_affect")
    assert turn.utterance_ids
    assert {span.trace_id for span in spans.named("affectstream.utterance")} == {TRACE}


async def test_the_client_gives_it(spans: Receiver) -> None:
    async with (
        tracing(spans) as server,
        AffectClient(server.address) as client,
        client.stream() as stream,
    ):
        with pytest.raises(errors.InvalidRequest, match="traceparent is 'none', expected 00-"):
            await stream.turn_started("t", traceparent="none")
        async with stream.turn("t", traceparent=f"00-{FIRST}-{CALLER}-01") as begun:
            await begun.done()
            await stream.send(TALK[: 4 * 16_000].tobytes())
        await stream.end()
        events = [event async for event in stream]
    [turn] = [event for event in events if isinstance(event, TurnAffect)]
    last = [event for event in events if isinstance(event, AffectEvent) and event.turn_id == "t"][-1]
    assert last.timing is not None
    assert (turn.timing, turn.traceparent) == (last.timing, last.traceparent)
    utterances = spans.named("affectstream.utterance")
    assert utterances
    assert {(span.trace_id, span.parent_id) for span in utterances} == {(FIRST, CALLER)}


async def test_where_nothing_is_traced_it_changes_nothing(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        await (await stream.turn_started("t", traceparent=f"00-{FIRST}-{CALLER}-01")).done()
        await stream.end()
        assert [event async for event in stream]
