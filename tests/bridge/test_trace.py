"""Whose trace a WebSocket's utterances belong to: that of whoever opened it."""

from __future__ import annotations

from affectstream.trace_context import is_tracestate
from tests.bridge.test_stream import pieces
from tests.support.bridge import CONFIG, END, connected, running_bridge
from tests.support.otlp import receiver
from tests.support.telemetry import CALLER, TRACE, tracing
from tests.support.wire import finals

PARENT = ("traceparent", f"00-{TRACE}-{CALLER}-01")


async def traced(address: str, *headers: tuple[str, str]) -> str:
    """The trace that an utterance says it belongs to."""
    async with connected(address, headers=headers) as socket:
        await socket.send({"config": CONFIG}, *pieces(0, 16 * 4_000), END)
        assert await socket.to_the_end() == 1000
    return finals(socket.events)[0].traceparent


async def test_an_utterance_goes_on_in_its_callers_trace() -> None:
    with receiver() as seen:
        async with tracing(seen) as server, running_bridge(server.address) as bridge:
            told = await traced(bridge.address, PARENT, ("tracestate", "acme=1,b@c=2"))
    utterance = seen.named("affectstream.utterance")[0]
    assert told == utterance.traceparent
    assert (utterance.trace_id, utterance.parent_id) == (TRACE, CALLER)
    assert any(b"acme=1,b@c=2" in body for body in seen.bodies)


async def test_a_malformed_trace_is_dropped_and_a_malformed_state_alone() -> None:
    malformed = [
        (("traceparent", f"00-{TRACE}-{CALLER}"),),
        (("traceparent", f"00-{'0' * 32}-{CALLER}-01"),),
        (PARENT, PARENT),
        (("tracestate", "acme=1"),),
    ]
    with receiver() as seen:
        async with tracing(seen) as server, running_bridge(server.address) as bridge:
            for headers in malformed:
                assert TRACE not in await traced(bridge.address, *headers)
            assert TRACE in await traced(bridge.address, PARENT, ("tracestate", "acme=ü"))
    assert not any(b"acme" in body for body in seen.bodies)


def test_which_states_are_well_formed() -> None:
    good = ("acme=1", "a@b=x y, c=2", "9/-_*=~", ",".join(["acme=1"] * 32), f"a={'1' * 256}")
    bad = (
        "",
        "acme",
        "acme=",
        "Acme=1",
        "a=b=c",
        "a=1 ,",
        "a=ü",
        "a=1\n",
        ",".join(["a=1"] * 33),
        "a=" + "1" * 257,
    )
    assert [state for state in good if not is_tracestate(state)] == []
    assert [state for state in bad if is_tracestate(state)] == []
    assert not is_tracestate(",".join([f"a={'1' * 200}"] * 3))
