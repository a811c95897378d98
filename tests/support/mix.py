"""Callers of every kind at once: who ends well, who leaves, is cut off, comes back or talks nonsense.

Each looks at what it is told. What it must not be told is kept in `Mix.faults`.
"""

from __future__ import annotations

import asyncio
import os
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed
from tests.support.fault_proxy import FaultProxy
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, watching
from tests.support.wire import END, Request, audio, config, finals, of_kind, seconds, stub
from tests.wire.resuming import Call, calling, frames, in_order

TALK: Final = sample_talk()
DATA: Final = TALK.tobytes()
SECOND: Final = 16_000
_CALLER: Final = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER)
_TIGHT: Final = (("grpc.http2.lookahead_bytes", 1), ("grpc.http2.bdp_probe", 0))
"""Of a channel: nothing comes that was not asked for."""
_PATIENT: Final = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, stall_ms=60_000)
_BEGIN: Final = Request(control=pb.Control(speech_started=pb.CallerSpeechStarted()))
_SAID: Final = Request(control=pb.Control(speech_ended=pb.CallerSpeechEnded()))
_BROKEN: Final = (audio(bytes(3)), config(), Request(), audio(bytes(65_536)))
_FORMAT: Final = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=SECOND, channel_count=1)


class Mix:
    """Callers until they are stopped."""

    def __init__(self, address: str, seed: int) -> None:
        self.address = address
        self.done: Counter[str] = Counter()
        self.finals = 0
        """Of conversations that ended well: every one that was due."""
        self.faults: list[str] = []
        self._chance = random.Random(seed)  # noqa: S311 - the same callers each time
        self._kinds: dict[Callable[[], Awaitable[None]], int] = {
            self._talks: 6,
            self._is_listened_to: 3,
            self._comes_back: 3,
            self._is_watched: 2,
            self._analyses: 2,
            self._leaves: 3,
            self._has_too_little_time: 2,
            self._hangs_up: 2,
            self._breaks_the_rules: 2,
            self._is_cut_off: 1,
            self._freezes: 1,
            self._comes_in_slices: 1,
            self._reads_late: 1,
            self._speaks_no_grpc: 1,
        }

    async def run(self, callers: int, seconds: float) -> None:
        """So many callers at once, one call after the other, for so long."""
        until = asyncio.get_running_loop().time() + seconds
        async with asyncio.TaskGroup() as group:
            for _ in range(callers):
                group.create_task(self._call_again(until))

    async def each_once(self) -> None:
        """One call of each kind, side by side."""
        async with asyncio.TaskGroup() as group:
            for kind in self._kinds:
                group.create_task(self._call(kind))

    async def _call_again(self, until: float) -> None:
        kinds, weights = zip(*self._kinds.items(), strict=True)
        while asyncio.get_running_loop().time() < until:
            await self._call(self._chance.choices(kinds, weights)[0])
            await asyncio.sleep(self._chance.uniform(0, 0.1))

    async def _call(self, kind: Callable[[], Awaitable[None]]) -> None:
        name = kind.__name__.strip("_").replace("_", " ")
        try:
            async with asyncio.timeout(60):
                await kind()
        except (AssertionError, grpc.aio.AioRpcError, WriteFailed, TimeoutError) as fault:
            self.faults.append(f"{name}: {type(fault).__name__}: {fault}")
        self.done[name] += 1

    async def _talks(self) -> None:
        """The caller knows where its utterances are: each gets its final."""
        due = self._chance.randint(1, 4)
        async with calling(self.address, config(endpointing=_CALLER)) as call:
            for number in range(due):
                await self._utter(call, number)
            await self._end(call, due)

    async def _is_listened_to(self) -> None:
        """The server finds the utterances, faster than real time."""
        async with calling(self.address, config()) as call:
            await call.send(frames(DATA, 0, self._chance.randint(2, 8) * SECOND))
            await self._end(call)

    async def _comes_back(self) -> None:
        """The line is lost in the middle, and the session goes on."""
        calls, first, at = [], config(resumable=True, endpointing=_CALLER), 0
        for part in range(3):
            async with calling(self.address, first) as call:
                calls.append(call)
                at = call.started.accepted_until_samples
                await self._utter(call, part)
                at += SECOND
                if part == 2:
                    await self._end(call, None)
                    break
                await call.until(lambda events: of_kind(events, "speech_ended"))
            first = call.next(offset=at)
        events = in_order(calls)
        numbers = [event.sequence for event in events]
        assert numbers == list(range(1, len(events) + 1)), f"holes: {numbers}"
        self._count(events, 3)

    async def _is_watched(self) -> None:
        """Another hears what the caller hears."""
        name = f"watched-{self._chance.getrandbits(60)}"
        async with (
            calling(self.address, config(session_id=name, endpointing=_CALLER)) as call,
            watching(self.address, of_session(name, start=EARLIEST)) as watch,
        ):
            await self._utter(call, 0)
            await self._end(call, 1)
            assert await watch.to_the_end() is grpc.StatusCode.OK
            assert [e.sequence for e in watch.events] == [e.sequence for e in call.events]

    async def _analyses(self) -> None:
        async with stub(self.address) as service:
            request = pb.AnalyzeUtteranceRequest(audio=_FORMAT, data=DATA[16_000:80_000])
            response = await service.AnalyzeUtterance(request, timeout=30)
            assert response.event.stage == pb.STAGE_FINAL

    async def _leaves(self) -> None:
        """It cancels, at any moment."""
        async with calling(self.address, config()) as call:
            await call.send(frames(DATA, 0, self._chance.randint(0, 3 * SECOND)))

    async def _has_too_little_time(self) -> None:
        async with stub(self.address) as service:
            call = Call(service.StreamAffect(timeout=self._chance.uniform(0.05, 0.5)), config())
            with suppress(WriteFailed):
                await call.send([config(), *frames(DATA, 0, SECOND)])
            assert await call.to_the_end() is grpc.StatusCode.DEADLINE_EXCEEDED

    async def _hangs_up(self) -> None:
        """It half-closes and did not say that this is the end."""
        async with calling(self.address, config()) as call:
            await call.send(frames(DATA, 0, 2 * SECOND))
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert not of_kind(call.events, "session_closed")

    async def _breaks_the_rules(self) -> None:
        async with calling(self.address, config()) as call:
            with suppress(WriteFailed):
                await call.send([self._chance.choice(_BROKEN)])
            code = await call.to_the_end()
            assert code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED), code

    async def _is_cut_off(self) -> None:
        """Its machine is gone: a reset in the middle of speech."""
        async with FaultProxy(self.address) as proxy, stub(proxy.address) as service:
            call = Call(service.StreamAffect(), config())
            await call.send([config(), *frames(DATA, 0, 2 * SECOND)])
            await call.until(lambda events: events)
            proxy.cut()
            assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE

    async def _freezes(self) -> None:
        """Nothing passes for a moment in the middle of speech; then all of it does, or the line is gone."""
        async with (
            FaultProxy(self.address) as proxy,
            calling(proxy.address, config(endpointing=_PATIENT)) as call,
        ):
            await call.send([_BEGIN, *frames(DATA, SECOND, SECOND * 3 // 2)])
            proxy.freeze()
            await call.send([*frames(DATA, SECOND * 3 // 2, 2 * SECOND), _SAID])
            await asyncio.sleep(self._chance.uniform(0.1, 1.0))
            if self._chance.random() < 1 / 3:
                proxy.cut()
                assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE
                return
            proxy.thaw()
            await self._end(call, 1)
            (ended,) = of_kind(call.events, "speech_ended")
            assert seconds(ended.audio_end) - seconds(ended.audio_start) == 1

    async def _comes_in_slices(self) -> None:
        """Its bytes come a few at a time, both ways."""
        async with FaultProxy(self.address) as proxy:
            proxy.slices = 1, 400
            async with calling(proxy.address, config(endpointing=_CALLER)) as call:
                await self._utter(call, 0)
                await self._end(call, 1)

    async def _reads_late(self) -> None:
        """It says all before it takes a word of what it is told, and that is more than gRPC holds for it."""
        outputs = pb.OutputConfig(progress_interval_ms=100, embedding=True)
        first = config(endpointing=_CALLER, outputs=outputs)
        async with stub(self.address, *_TIGHT) as service:
            call = Call(service.StreamAffect(), first)
            saying = asyncio.create_task(self._say(call, first, 3))
            try:
                await asyncio.sleep(self._chance.uniform(0.2, 1.5))
                assert await call.to_the_end() is grpc.StatusCode.OK
                await saying
            finally:
                saying.cancel()
                await asyncio.wait([saying])
            assert [event.sequence for event in call.events] == list(range(1, len(call.events) + 1))
            self._count(call.events, 3)

    async def _speaks_no_grpc(self) -> None:
        host, _, port = self.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(os.urandom(self._chance.randint(1, 4_096)))
        with suppress(ConnectionError):
            await writer.drain()
            writer.write_eof()
            await reader.read()
        writer.close()

    async def _utter(self, call: Call, number: int) -> None:
        at = (2 * number + 1) * SECOND % (len(TALK) - SECOND)
        await call.send([_BEGIN, *frames(DATA, at, at + SECOND), _SAID])

    async def _say(self, call: Call, first: Request, utterances: int) -> None:
        """All of a conversation."""
        await call.send([first])
        for number in range(utterances):
            await self._utter(call, number)
        await call.send([END])
        await call.call.done_writing()

    async def _end(self, call: Call, due: int | None = 0) -> None:
        await call.send([END])
        await call.call.done_writing()
        code = await call.to_the_end()
        assert code is grpc.StatusCode.OK, code
        if due is not None:
            self._count(call.events, due)

    def _count(self, events: list[pb.SessionEvent], due: int) -> None:
        """Each utterance has its one final; ``due`` of them where that is known."""
        ended = [event.utterance_id for event in of_kind(events, "speech_ended")]
        got = [event.utterance_id for event in finals(events)]
        assert got == ended, f"{len(ended)} utterances, {len(got)} finals"
        assert not due or len(got) == due, f"{due} utterances, {len(got)} finals"
        assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
        self.finals += len(got)


def named(counts: Counter[str]) -> str:
    """In words."""
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items()))
