"""SIGTERM while a hundred conversations go on: nobody is cut off unheard."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack
from typing import Final

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed
from tests.support.process import start_process
from tests.support.speech import sample_talk
from tests.support.wire import audio, config, error_info, finals, of_kind, refusal, seconds
from tests.wire.resuming import Call, calling

FINALS_S: Final = 10
DRAIN_S: Final = 4
TALKERS, ENDLESS, SILENT = 60, 20, 20
STEP_S: Final = 0.1
TALK: Final = sample_talk()


class Caller:
    """One conversation, sent at the pace at which it is spoken, whatever comes back."""

    def __init__(self, call: Call, frames: Iterator[bytes]) -> None:
        self.call = call
        self.finals_at: list[float] = []
        self._frames = frames

    async def speak(self) -> None:
        due = time.monotonic()
        for frame in self._frames:
            try:
                await self.call.send([audio(frame)])
            except WriteFailed:
                return
            due += STEP_S
            await asyncio.sleep(due - time.monotonic())

    async def listen(self, speaks: asyncio.Event) -> grpc.StatusCode:
        """Read to the end; ``speaks`` is set when an utterance began."""
        speaking = asyncio.create_task(self.speak())
        try:
            await self.call.until(lambda events: events[-1].HasField("speech_started"))
            speaks.set()
            await self.call.until(self._note_finals)
            return await self.call.to_the_end()
        finally:
            speaking.cancel()
            await asyncio.wait([speaking])

    def _note_finals(self, events: list[pb.SessionEvent]) -> bool:
        if events[-1].HasField("affect"):
            self.finals_at.append(time.monotonic())
        return events[-1].HasField("session_closed")


def talking(delay: int) -> Iterator[bytes]:
    """The talk from ``delay`` samples before its first word, with its pauses."""
    data = TALK[9_600 - delay :].tobytes()
    return (data[i : i + 3_200] for i in range(0, len(data), 3_200))


def endless() -> Iterator[bytes]:
    """One syllable without an end."""
    return itertools.repeat(TALK[26_000:29_200].tobytes()[:3_200])


async def silent(call: Call) -> grpc.StatusCode:
    """A line that is open, and on which nobody says anything."""
    await call.send([audio(bytes(3_200))])
    return await call.to_the_end()


@pytest.mark.fault("SIGTERM")
@pytest.mark.timeout(5 * (FINALS_S + DRAIN_S))
async def test_a_hundred_streams_have_their_finals_before_the_server_is_gone(
    figure: Callable[[str], None],
) -> None:
    process, address = start_process(environment={"AFFECTSTREAM_SERVER__DRAIN_S": str(DRAIN_S)})
    try:
        async with AsyncExitStack() as stack:
            calls = [await stack.enter_async_context(calling(address, config())) for _ in range(100)]
            callers = [Caller(call, talking(8 * n)) for n, call in enumerate(calls[:TALKERS])]
            callers += [Caller(call, endless()) for call in calls[TALKERS : TALKERS + ENDLESS]]
            spoken = [asyncio.Event() for _ in callers]
            ends = [
                asyncio.create_task(caller.listen(speaks))
                for caller, speaks in zip(callers, spoken, strict=True)
            ]
            ends += [asyncio.create_task(silent(call)) for call in calls[TALKERS + ENDLESS :]]
            await asyncio.gather(*(speaks.wait() for speaks in spoken))
            process.send_signal(signal.SIGTERM)
            told_at = time.monotonic()
            await asyncio.wait([ends[-1]])
            late = await refusal(address, [config()])
            codes = await asyncio.gather(*ends)
        last_s = max(at for caller in callers for at in caller.finals_at) - told_at
        assert await asyncio.to_thread(process.wait, 5 * FINALS_S) == 0
        gone_s = time.monotonic() - told_at
        figure(f"last final {last_s:.1f} s after SIGTERM (wanted: {FINALS_S}), gone after {gone_s:.1f} s")
        assert last_s <= 5 * FINALS_S
        assert set(codes) == {grpc.StatusCode.UNAVAILABLE}
        assert error_info(late).reason == "DRAINING"
        for call in calls:
            kinds = [event.WhichOneof("event") for event in call.events]
            assert kinds.count("session_closing") == 1
            assert kinds[-1] == "session_closed", "announced, and then told to be over"
            closing = of_kind(call.events, "session_closing")[0]
            assert (closing.reason, 0 < seconds(closing.grace) <= DRAIN_S) == (pb.CLOSE_REASON_DRAIN, True)
            begun = [started.utterance_id for started in of_kind(call.events, "speech_started")]
            assert [final.utterance_id for final in finals(call.events)] == begun, "one final each, in order"
        assert len(finals([event for call in calls for event in call.events])) >= TALKERS + ENDLESS
        cut = [finals(call.events)[-1].trigger for call in calls[TALKERS : TALKERS + ENDLESS]]
        assert set(cut) == {pb.TRIGGER_END_OF_AUDIO}, "who never stops is heard until the grace is over"
    finally:
        process.kill()
        process.communicate()
