"""One session against the model of it: what a caller does is done to both, and what was said is compared."""

from __future__ import annotations

import asyncio
import itertools
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed
from tests.support.protocol_model import Timeline
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, Watch, of_session, without_token
from tests.support.wire import END, Request, audio, config, error_info, finals, of_kind, seconds
from tests.wire.resuming import Call

DATA = sample_talk().tobytes()
CALLER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, stall_ms=60_000)
_NUMBERS = itertools.count()


class Conversation:
    """A session, the calls that it came on, and what must be true of it."""

    def __init__(self, service: Any, name: str = "") -> None:
        self.service = service
        self.name = name or f"conversation-{next(_NUMBERS)}"
        self.model = Timeline()
        self.calls: list[Call] = []
        self.call: Call | None = None
        """The stream that is open."""
        self.over = ""
        """How the session ended, as CloseReason names it; empty while it goes on."""
        self.resumable = False
        self._failed = False
        self.least = 1
        """Tokens of streams before this one were given up."""
        self._afterwards: list[Call] = []
        """Streams that came after the end."""
        self.watches: list[tuple[Watch, int]] = []
        self._syncs = itertools.count()

    @property
    def first(self) -> Request:
        return config(session_id=self.name, resumable=self.resumable, endpointing=CALLER)

    @property
    def hears_its_end(self) -> bool:
        """It is over, and kept for a caller that did not hear how."""
        return self.resumable and self.over == "END_OF_AUDIO" and not self._failed

    async def begin(self, *, resumable: bool) -> None:
        self.resumable = resumable
        await self._open(self.first)
        assert not self._newest.started.resumed

    async def send(self, request: Request) -> None:
        assert self.call is not None
        await self.call.send([request])

    async def settle(self) -> None:
        """Wait until the server did all that was asked for; every event of it was read then."""
        assert self.call is not None
        control_id = f"sync-{next(self._syncs)}"
        control = pb.Control(control_id=control_id, agent_speech_ended=pb.AgentSpeechEnded())
        self.model.control("agent_speech_ended", control_id)
        await self.call.send([Request(control=control)])
        await self.call.until(lambda events: events[-1].control_done.control_id == control_id)

    async def lose(self, *, politely: bool) -> None:
        """Cancel the call, or half-close it without an end of audio."""
        await self.settle()
        call, self.call = self._newest, None
        if politely:
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
        else:
            call.call.cancel()
        if not self.resumable:
            self.over = "ABANDONED"

    async def resume(self, offset: int, *, unread: int, ask: bool) -> None:
        """Go on in another stream; ``unread``: so many of the last events were not received."""
        if self.call is not None:
            await self.settle()
        older, last = self.call, self.calls[-1]
        received = max(0, max(event.sequence for event in last.events) - unread)
        request = last.next(offset=offset, with_events=False)
        if ask:
            request.config.resume.last_sequence = received
        self.least = last.started.session_epoch
        await self._open(request)
        accepted = self._newest.started.accepted_until_samples
        assert accepted == max(self.model.heard, offset)
        self.model.resumed(offset)
        if older is not None:
            assert await older.to_the_end() is grpc.StatusCode.ABORTED
            assert older.events[-1].session_closed.reason == pb.CLOSE_REASON_SUPERSEDED
        await self.settle()
        numbers = sorted(event.sequence for event in self._newest.events)
        assert self._newest.started.resumed
        start = received + 1 if ask else numbers[0]
        assert numbers == list(range(start, numbers[-1] + 1)), "what was missed, and no hole"

    async def end(self, control_id: str, *after: Request) -> grpc.aio.AioRpcError | None:
        """All audio was sent. Returns the error that ``after`` ends the call with."""
        self.over = "END_OF_AUDIO"
        self._failed = bool(after)
        self.model.ended(control_id)
        end = Request(control=pb.Control(control_id=control_id, end_of_audio=pb.EndOfAudio()))
        return await self._last(end, *after)

    async def end_and_stay(self) -> Call:
        """All audio was sent, and the end was heard. Returns the call, which is not over."""
        assert self.call is not None
        call, self.call = self.call, None
        self.over = "END_OF_AUDIO"
        self.model.ended("")
        await call.send([END])
        await call.until(lambda events: of_kind(events, "session_closed"))
        return call

    async def refused(self, request: Request) -> grpc.aio.AioRpcError | None:
        """Send what the contract forbids; the error that the call ends with."""
        self.over = "ERROR"
        if request.HasField("audio") and self.model.paused and len(request.audio.data) < LIMITS.message_bytes:
            self.model.warnings.append("AUDIO_WHILE_PAUSED")
        return await self._last(request)

    async def watch(self, after: int) -> None:
        """Watch live from the event after so many on."""
        events = await self._known()
        position = {"after": events[after - 1].cursor} if after else {"start": EARLIEST}
        watch = Watch(self.service.WatchAffect(of_session(self.name, **position)))
        await watch.call.initial_metadata()
        self.watches.append((watch, after))

    async def known(self) -> int:
        """How many events the caller has, from the first on."""
        return len(await self._known())

    async def hear_the_end_again(self, unread: int) -> None:
        """A stream that continues an ended session is told what it missed, and in any case the end."""
        known = {event.sequence: event for call in (*self.calls, *self._afterwards) for event in call.events}
        received = max(0, max(known) - unread)
        request = self._newest.next(offset=self.model.heard, with_events=False)
        request.config.resume.last_sequence = received
        again = Call(self.service.StreamAffect(), request)
        await again.send([request])
        await again.call.done_writing()
        assert await again.to_the_end() is grpc.StatusCode.OK
        assert again.started.resumed
        end = max(number for number, event in known.items() if event.HasField("session_closed"))
        assert again.events[1:] == [*(known[number] for number in range(received + 1, end)), known[end]]
        self._afterwards.append(again)

    async def check(self) -> None:
        """After the end: all that was said is what the model says."""
        everything = Watch(self.service.WatchAffect(of_session(self.name, start=EARLIEST)))
        assert await everything.to_the_end() is grpc.StatusCode.OK
        said = everything.events
        for watch, after in self.watches:
            assert await watch.to_the_end() is grpc.StatusCode.OK
            assert watch.events == said[after:]
        assert [event.sequence for event in said] == list(range(1, len(said) + 1))
        for call in self.calls:
            for event in without_token(call.events):
                assert event == said[event.sequence - 1], "every stream and watcher hears the same"
        check(said, self.model, self.over)

    def cancel(self) -> None:
        for watch, _ in self.watches:
            watch.call.cancel()
        if self.call is not None:
            self.call.call.cancel()

    @property
    def _newest(self) -> Call:
        return self.calls[-1]

    async def _known(self) -> Sequence[pb.SessionEvent]:
        """Events up to now, by sequence, as far as none is missing."""
        if self.call is not None:
            await self.settle()
        found = {event.sequence: event for call in self.calls for event in call.events}
        return [found[n] for n in range(1, 1 + len(found)) if all(m in found for m in range(1, n))]

    async def _open(self, request: Request) -> None:
        call = Call(self.service.StreamAffect(), request)
        await call.send([request])
        await call.until(lambda events: events)
        self.calls.append(call)
        self.call = call
        assert call.started.session_epoch == len(self.calls)

    async def _last(self, *requests: Request) -> grpc.aio.AioRpcError | None:
        assert self.call is not None
        call, self.call = self.call, None
        with suppress(WriteFailed, asyncio.InvalidStateError):  # it ends as it reads the first of them
            await call.send(requests)
            await call.call.done_writing()
        return await ending(call)


async def ending(call: Call) -> grpc.aio.AioRpcError | None:
    """The error that a call ends with; None: it ends well."""
    code = await call.to_the_end()
    if code is grpc.StatusCode.OK:
        return None
    said = call.call
    return grpc.aio.AioRpcError(
        code, await said.initial_metadata(), await said.trailing_metadata(), await said.details()
    )


async def refusal_of(service: Any, request: Request) -> tuple[str, str]:
    """The code and the reason with which a call ends that begins so."""
    call = Call(service.StreamAffect(), request)
    with suppress(WriteFailed, asyncio.InvalidStateError):
        await call.send([request])
    error = await ending(call)
    assert error is not None
    assert call.events == []
    return error.code().name, error_info(error).reason


def speech(start: int, samples: int) -> Request:
    """Audio of the sample talk, wherever it is on the session's timeline."""
    begin = 2 * start % (len(DATA) // 2)
    return audio(DATA[begin : begin + 2 * samples])


def check(said: Sequence[pb.SessionEvent], model: Timeline, over: str) -> None:
    """What a session said, against what it should have."""
    assert said[0].HasField("session_started")
    assert [s.session_epoch for s in of_kind(said, "session_started")] == list(range(1, said[-1].epoch + 1))
    closed = said[-1].session_closed
    assert pb.CloseReason.Name(closed.reason) == f"CLOSE_REASON_{over}"
    declared = of_kind(said, "speech_ended")
    assert [(position(e.audio_start), position(e.audio_end), e.trigger) for e in declared] == model.utterances
    told = finals(said)
    ids = [event.utterance_id for event in declared]
    assert [event.utterance_id for event in told] == ids[: len(told)]
    if over != "ABANDONED":
        assert len(told) == len(ids), "one final each"
    begun = [event.utterance_id for event in of_kind(said, "speech_started")]
    assert begun[: len(ids)] == ids
    assert closed.open_utterance_id == ("" if len(begun) == len(ids) else begun[-1])
    assert [(position(g.audio_start), position(g.audio_end)) for g in of_kind(said, "gap")] == model.gaps
    assert [w.code for w in of_kind(said, "warning")] == model.warnings
    assert [d.control_id for d in of_kind(said, "control_done")] == model.done
    turns = of_kind(said, "turn_affect")
    due = Counter(model.turns + ([model.turn] if over == "ERROR" and model.turn else []))
    heard = Counter(turn.turn_id for turn in turns)
    assert heard <= due
    in_turns = [utterance_id for turn in turns for utterance_id in turn.utterance_ids]
    assert in_turns == [utterance_id for utterance_id in ids if utterance_id in in_turns]
    if over != "ABANDONED":
        held_up = 1 if over == "ERROR" and model.open_at is not None else 0  # its utterance has no final
        assert due.total() - heard.total() <= held_up
        (summary,) = of_kind(said, "session_summary")
        assert summary.utterances == len(begun)
        assert sum(summary.finals_by_status.values()) == len(told)
        assert position(summary.audio_duration) == model.heard
        progress = of_kind(said, "progress")[-1]
        assert progress.received_until_samples == model.heard
        assert summary.empty_chunks == model.empty_chunks


def position(duration: Any) -> int:
    """Samples at 16 kHz."""
    return round(seconds(duration) * 16_000)
