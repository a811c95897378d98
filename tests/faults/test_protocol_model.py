"""Stream, resume and watch in any order that hypothesis thinks of, against a model of the contract."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, ClassVar

import grpc
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
from tests.faults.conversation import Conversation, refusal_of, speech
from tests.support.wire import END, Request, audio, config, error_info, running_server

EXAMPLES, LONG = 200, 10_000
STEPS = 30
KINDS: dict[str, Any] = {
    "flush_utterance": pb.FlushUtterance(),
    "speech_started": pb.CallerSpeechStarted(),
    "speech_ended": pb.CallerSpeechEnded(),
    "agent_speech_started": pb.AgentSpeechStarted(),
    "audio_paused": pb.AudioPaused(),
    "audio_resumed": pb.AudioResumed(),
}
FORBIDDEN: dict[str, tuple[Request, str, str]] = {
    "a second config": (config(), "INVALID_ARGUMENT", "SECOND_CONFIG"),
    "nothing": (Request(), "INVALID_ARGUMENT", "EMPTY_REQUEST"),
    "an empty control": (Request(control=pb.Control()), "INVALID_ARGUMENT", "EMPTY_CONTROL"),
    "half a sample": (audio(bytes(3)), "INVALID_ARGUMENT", "PARTIAL_FRAME"),
    "more than a second": (audio(bytes(32_002)), "INVALID_ARGUMENT", "CHUNK_TOO_LONG"),
    "too large": (audio(bytes(65_536)), "RESOURCE_EXHAUSTED", "MESSAGE_TOO_LARGE"),
    "a negative position": (
        Request(audio=pb.AudioChunk(data=bytes(2), start_samples=-1)),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
    ),
    "a turn without a name": (
        Request(control=pb.Control(turn_started=pb.TurnStarted())),
        "INVALID_ARGUMENT",
        "INVALID_FIELD",
    ),
}
FIRST = {"audio": audio(bytes(2)), "control": END, "nothing": Request()}
samples = st.integers(0, 4_800)
is_open = precondition(lambda self: self.talk.call is not None)
may_resume = precondition(lambda self: self.talk.resumable and not self.talk.over)


class Caller(RuleBasedStateMachine):
    """What a caller may do, and what it may not."""

    runner: ClassVar[asyncio.Runner]
    service: ClassVar[Any]
    done: ClassVar[dict[str, int]]

    def __init__(self) -> None:
        super().__init__()
        self.talk = Conversation(self.service)
        self.controls = 0

    def run(self, doing: Coroutine[Any, Any, Any]) -> Any:
        return self.runner.run(asyncio.wait_for(doing, 30))

    def count(self, what: str) -> None:
        self.done[what] = self.done.get(what, 0) + 1

    @initialize(resumable=st.booleans())
    def begin(self, resumable: bool) -> None:
        self.run(self.talk.begin(resumable=resumable))

    @precondition(lambda self: self.talk.over)
    @rule(resumable=st.booleans())
    def begin_another(self, resumable: bool) -> None:
        self.talk.cancel()
        self.count("conversations")
        self.talk = Conversation(self.service)
        self.begin(resumable)

    @is_open
    @rule(resumable=st.booleans(), politely=st.booleans())
    def begin_another_by_its_name(self, resumable: bool, politely: bool) -> None:
        """Its session is over, and its call is not."""
        before = self.talk
        call = self.run(before.end_and_stay())
        self._check_where_over("ended")
        self.talk = Conversation(self.service, before.name)
        self.begin(resumable)
        if politely:
            self.run(call.call.done_writing())
            assert self.run(call.to_the_end()) is grpc.StatusCode.OK
        else:
            call.call.cancel()
        before.cancel()
        self.count("conversations")
        self.count("begun by a name that was another's")

    @is_open
    @rule(count=samples)
    def speak(self, count: int) -> None:
        self.run(self.talk.send(speech(self.talk.model.heard, count)))
        self.talk.model.audio(count)

    @is_open
    @rule(count=samples, shift=st.integers(-4_000, 8_000))
    def speak_at(self, count: int, shift: int) -> None:
        start = max(0, self.talk.model.heard + shift)
        request = speech(start, count)
        request.audio.start_samples = start
        self.run(self.talk.send(request))
        self.talk.model.audio(count, start)

    @is_open
    @rule(kind=st.sampled_from(sorted(KINDS)), again=st.booleans())
    def control(self, kind: str, again: bool) -> None:
        self._control(kind, KINDS[kind], "", again=again)

    @is_open
    @rule(kind=st.sampled_from(["turn_started", "turn_ended"]), turn=st.sampled_from("ab"))
    def turn(self, kind: str, turn: str) -> None:
        message = {"turn_started": pb.TurnStarted, "turn_ended": pb.TurnEnded}[kind](turn_id=turn)
        self._control(kind, message, turn, again=False)

    def _control(self, kind: str, message: Any, turn: str, *, again: bool) -> None:
        control_id = f"control-{self.controls}"
        if again and self.talk.model.earlier:
            control_id = min(self.talk.model.earlier)
        self.controls += 1
        request = Request(control=pb.Control(control_id=control_id, **{kind: message}))
        self.run(self.talk.send(request))
        self.talk.model.control(kind, control_id, turn)

    @is_open
    @rule(politely=st.booleans())
    def lose_the_line(self, politely: bool) -> None:
        self.run(self.talk.lose(politely=politely))
        self._check_where_over("left")

    @may_resume
    @rule(shift=st.integers(-8_000, 8_000), unread=st.integers(0, 4), ask=st.booleans())
    def resume(self, shift: int, unread: int, ask: bool) -> None:
        offset = max(0, self.talk.model.heard + shift)
        self.run(self.talk.resume(offset, unread=unread, ask=ask))
        self.count("resumed")

    @may_resume
    @rule(what=st.sampled_from(["token", "id", "offset", "sequence", "config", "format"]))
    def resume_wrongly(self, what: str) -> None:
        talk = self.talk
        request = talk.calls[-1].next(offset=talk.model.heard, with_events=False)
        resume = request.config.resume
        wanted = "INVALID_ARGUMENT", "RESUME_CONFIG_DIFFERS"
        match what:
            case "token":
                resume.resume_token, wanted = bytes(20), ("NOT_FOUND", "SESSION_NOT_FOUND")
            case "id":
                resume.session_id, wanted = "nobody", ("NOT_FOUND", "SESSION_NOT_FOUND")
                request.config.session_id = ""
            case "offset":
                resume.audio_offset_samples = -1
                wanted = "INVALID_ARGUMENT", "OFFSET_OUT_OF_RANGE"
            case "sequence":
                resume.last_sequence = 1_000_000
                wanted = "INVALID_ARGUMENT", "INVALID_FIELD"
            case "config":
                request.config.language_code = "de"
            case "format":
                request.config.audio.channel_count = 2
        assert self.run(refusal_of(self.service, request)) == wanted
        if wanted[0] == "INVALID_ARGUMENT":
            talk.least = talk.calls[-1].started.session_epoch  # its token was shown
        self.count("refused")

    @may_resume
    @rule()
    def resume_with_an_older_token(self) -> None:
        talk = self.talk
        older = [call for call in talk.calls if call.started.session_epoch < talk.least]
        if not older:
            return
        request = older[-1].next(offset=talk.model.heard, with_events=False)
        answer = self.run(refusal_of(self.service, request))
        assert answer == ("FAILED_PRECONDITION", "RESUME_SUPERSEDED")
        self.count("refused")

    @precondition(lambda self: self.talk.hears_its_end)
    @rule(unread=st.integers(0, 4))
    def hear_the_end_again(self, unread: int) -> None:
        self.run(self.talk.hear_the_end_again(unread))
        self.count("resumed")

    @precondition(lambda self: self.talk.over and not self.talk.hears_its_end)
    @rule()
    def resume_what_is_over(self) -> None:
        request = self.talk.calls[-1].next(offset=0, with_events=False)
        assert self.run(refusal_of(self.service, request)) == ("NOT_FOUND", "SESSION_NOT_FOUND")
        self.count("refused")

    @rule(first=st.sampled_from(sorted(FIRST)))
    def begin_wrongly(self, first: str) -> None:
        reason = "EMPTY_REQUEST" if first == "nothing" else "CONFIG_MUST_BE_FIRST"
        assert self.run(refusal_of(self.service, FIRST[first])) == ("INVALID_ARGUMENT", reason)
        self.count("refused")

    @precondition(lambda self: not self.talk.over)
    @rule()
    def take_its_name(self) -> None:
        answer = self.run(refusal_of(self.service, self.talk.first))
        assert answer == ("ALREADY_EXISTS", "SESSION_EXISTS")
        self.count("refused")

    @precondition(lambda self: not self.talk.over and len(self.talk.watches) < 3)
    @rule(where=st.floats(0, 1))
    def watch(self, where: float) -> None:
        known = self.run(self.talk.known())
        self.run(self.talk.watch(after=round(where * known)))
        self.count("watched")

    @is_open
    @rule(what=st.sampled_from(sorted(FORBIDDEN)))
    def forbidden(self, what: str) -> None:
        request, *wanted = FORBIDDEN[what]
        error = self.run(self.talk.refused(request))
        assert [error.code().name, error_info(error).reason] == wanted
        self._check_where_over("refused")

    @is_open
    @rule(named=st.booleans(), more=st.booleans())
    def end(self, named: bool, more: bool) -> None:
        after = [audio(bytes(2))] if more else []
        error = self.run(self.talk.end("end" if named else "", *after))
        if more:
            assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert error_info(error).reason == "MESSAGE_AFTER_END"
        else:
            assert error is None
        self._check_where_over("ended")

    def _check_where_over(self, how: str) -> None:
        if self.talk.over:
            self.run(self.talk.check())
            self.count(how)

    def teardown(self) -> None:
        try:
            if not self.talk.over and self.talk.calls:
                if self.talk.call is None:
                    self.resume(0, 0, True)
                self.end(named=True, more=False)
        finally:
            self.talk.cancel()
            self.count("conversations")


@pytest.mark.timeout(7_200)
@pytest.mark.fault("messages out of order", "lost call")
def test_any_conversation_goes_as_the_contract_says(full: bool, figure: Callable[[str], None]) -> None:
    examples = LONG if full else EXAMPLES
    Caller.done = {}
    with asyncio.Runner() as runner:
        server = running_server({"server": {"resume_s": 3_600}, "bus": {"retention_events": 1_000}})
        address = runner.run(server.__aenter__()).address

        async def connect() -> grpc.aio.Channel:
            return grpc.aio.insecure_channel(address)

        channel = runner.run(connect())
        stub: Any = affect_pb2_grpc.AffectServiceStub(channel)
        Caller.runner, Caller.service = runner, stub
        try:
            run_state_machine_as_test(
                Caller,
                settings=settings(
                    max_examples=examples,
                    stateful_step_count=STEPS,
                    deadline=None,
                    suppress_health_check=list(HealthCheck),
                    derandomize=not full,
                    database=None,
                    report_multiple_bugs=False,
                ),
            )
        finally:
            runner.run(channel.close())
            runner.run(server.__aexit__(None, None, None))
    figure(", ".join(f"{count:,} {what}" for what, count in sorted(Caller.done.items())))
