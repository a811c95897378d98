"""What the caller says beside audio: own detection, flush, turns, the agent's voice, pauses, consent."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soxr

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk, talks
from tests.support.wire import (
    END,
    Request,
    audio,
    chunks,
    config,
    converse,
    exchange,
    finals,
    of_kind,
    running_server,
    seconds,
    stream_talk,
)

TALK = sample_talk()
PART = TALK[: 16_000 * 10].tobytes()
CALLER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER)


def control(
    position: int | None = None, control_id: str = "", channel: int | None = None, **kind: Any
) -> Request:
    message = pb.Control(control_id=control_id, **kind)
    if position is not None:
        message.position_samples = position
    if channel is not None:
        message.channel = channel
    return Request(control=message)


def started(position: int | None = None, **fields: Any) -> Request:
    return control(position, speech_started=pb.CallerSpeechStarted(), **fields)


def ended(position: int | None = None, **fields: Any) -> Request:
    return control(position, speech_ended=pb.CallerSpeechEnded(), **fields)


def flush(position: int | None = None, **fields: Any) -> Request:
    return control(position, flush_utterance=pb.FlushUtterance(), **fields)


def warnings(events: Iterable[pb.SessionEvent]) -> list[str]:
    return [warning.code for warning in of_kind(list(events), "warning")]


async def spoken(address: str, *script: Request | bytes, **fields: Any) -> list[pb.SessionEvent]:
    """Config, then the script (bytes are audio of 20 ms chunks), then the end."""
    requests: list[Request] = [config(**fields)]
    for item in script:
        requests += chunks(item) if isinstance(item, bytes) else [item]
    return await converse(address, [*requests, END])


@pytest.mark.parametrize("rate_hz", [16_000, 8_000, 44_100])
async def test_callers_own_bounds_are_kept_to_the_sample(server_address: str, rate_hz: int) -> None:
    samples = TALK[: 16_000 * 4].astype(np.float32) / 32_768
    pcm = (soxr.resample(samples, 16_000, rate_hz) * 32_767).astype("<i2").tobytes()
    begin, end = rate_hz // 2, rate_hz * 3
    requests: list[Request] = [config(rate_hz=rate_hz, endpointing=CALLER)]
    frame = rate_hz // 50
    for place in range(0, len(pcm) // 2, frame):
        if place == begin:
            requests.append(started(begin, control_id="b"))
        if place == end:
            requests.append(ended(end, control_id="e"))
        requests.append(audio(pcm[2 * place : 2 * (place + frame)]))
    events = await converse(server_address, [*requests, END])
    final = finals(events)[0]
    assert (seconds(final.audio_start), seconds(final.audio_end)) == (0.5, 3.0)
    assert final.trigger == pb.TRIGGER_SPEECH_ENDED
    assert [(d.control_id, d.position_samples) for d in of_kind(events, "control_done")] == [
        ("b", begin),
        ("e", end),
    ]
    assert len(finals(events)) == 1, "the server adds none of its own"


async def test_true_times_of_a_talk_give_exactly_those_bounds(server_address: str, speech: Path) -> None:
    talk = talks(speech)[0]
    marks = [(round(t * 16_000), started) for t, _ in talk.truth] + [
        (round(t * 16_000), ended) for _, t in talk.truth
    ]
    requests: list[Request] = [config(endpointing=CALLER)]
    place = 0
    for position, mark in sorted(marks, key=lambda m: m[0]):
        requests += chunks(talk.samples[place:position].tobytes())
        requests.append(mark(position))
        place = position
    requests += chunks(talk.samples[place:].tobytes())
    events = await converse(server_address, [*requests, END])
    got = [(seconds(f.audio_start), seconds(f.audio_end)) for f in finals(events)]
    assert got == [pytest.approx(bounds, abs=1 / 16_000) for bounds in talk.truth]
    assert not warnings(events)


async def test_a_start_told_late_is_still_that_start(server_address: str) -> None:
    events = await spoken(
        server_address, PART[:64_000], started(16_000), PART[64_000:96_000], ended(40_000), endpointing=CALLER
    )
    final = finals(events)[0]
    assert (seconds(final.audio_start), seconds(final.audio_end)) == (1.0, 2.5)


async def test_a_start_told_too_late_is_a_warning(server_address: str) -> None:
    events = await spoken(server_address, PART[:160_000], started(16_000), endpointing=CALLER)
    assert warnings(events) == ["POSITION_OUT_OF_RANGE"]
    assert not finals(events)


async def test_a_control_for_the_future_waits_for_its_audio(server_address: str) -> None:
    script: list[Request | bytes] = [started(8_000), ended(24_000, control_id="e"), PART[:96_000]]
    events = await spoken(server_address, *script, endpointing=CALLER)
    final = finals(events)[0]
    assert (seconds(final.audio_start), seconds(final.audio_end)) == (0.5, 1.5)
    assert of_kind(events, "control_done")[0].position_samples == 24_000


async def test_long_callers_utterance_is_cut_and_continued(server_address: str) -> None:
    bounds = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER, max_utterance_ms=1_000)
    events = await spoken(server_address, started(0), PART[:80_000], ended(40_000), endpointing=bounds)
    got = finals(events)
    assert [(seconds(f.audio_start), seconds(f.audio_end)) for f in got] == [(0, 1), (1, 2), (2, 2.5)]
    assert [f.trigger for f in got[:2]] == [pb.TRIGGER_MAX_DURATION] * 2
    assert [f.continues_utterance_id for f in got] == ["", got[0].utterance_id, got[1].utterance_id]


async def test_mixed_mode_lets_the_caller_end_what_the_server_found(server_address: str) -> None:
    alone = finals(await spoken(server_address, PART))
    at = round((seconds(alone[0].audio_start) + 1.0) * 16_000)
    mixed = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_MIXED)
    events = await spoken(server_address, PART[: 2 * at], ended(at), PART[2 * at :], endpointing=mixed)
    first = finals(events)[0]
    assert seconds(first.audio_start) == seconds(alone[0].audio_start)
    assert seconds(first.audio_end) <= at / 16_000
    assert first.trigger == pb.TRIGGER_SPEECH_ENDED
    assert len(finals(events)) > len(alone), "speech goes on in an utterance of its own"


async def test_flush_ends_the_open_utterance_where_it_is_asked_to(server_address: str) -> None:
    alone = finals(await spoken(server_address, PART))
    at = round((seconds(alone[0].audio_start) + 1.2) * 16_000)
    events = await spoken(server_address, PART[: 2 * at], flush(control_id="f"), PART[2 * at :])
    first = finals(events)[0]
    assert first.trigger == pb.TRIGGER_CLIENT_FLUSH
    assert seconds(first.audio_end) == pytest.approx(at / 16_000, abs=0.1)
    assert of_kind(events, "control_done")[0].position_samples == at


MISUSES: dict[str, tuple[list[Request | bytes], str, dict[str, Any]]] = {
    "flush without speech": ([flush()], "CONTROL_WITHOUT_EFFECT", {}),
    "end without start": ([ended()], "CONTROL_WITHOUT_EFFECT", {"endpointing": CALLER}),
    "start twice": ([started(), started()], "CONTROL_WITHOUT_EFFECT", {"endpointing": CALLER}),
    "end before start": (
        [PART[:6_400], started(1_600), ended(1_600)],
        "POSITION_OUT_OF_RANGE",
        {"endpointing": CALLER},
    ),
    "own detection where the server's is on": ([started()], "WRONG_MODE", {}),
    "end where the server's is on": ([ended()], "WRONG_MODE", {}),
    "negative position": ([flush(-1)], "POSITION_OUT_OF_RANGE", {}),
    "far future": ([flush(10**9)], "POSITION_OUT_OF_RANGE", {}),
    "turn ended without a start": ([control(turn_ended=pb.TurnEnded(turn_id="t"))], "TURN_NOT_OPEN", {}),
    "another turn ended": (
        [control(turn_started=pb.TurnStarted(turn_id="a")), control(turn_ended=pb.TurnEnded(turn_id="b"))],
        "TURN_NOT_OPEN",
        {},
    ),
    "turn in a turn": (
        [control(turn_started=pb.TurnStarted(turn_id=t)) for t in "ab"],
        "TURN_ALREADY_OPEN",
        {},
    ),
    "no such channel": ([flush(channel=3)], "NO_SUCH_CHANNEL", {}),
    "resumed in the past": (
        [PART[:3_200], control(0, audio_resumed=pb.AudioResumed())],
        "POSITION_OUT_OF_RANGE",
        {},
    ),
}


@pytest.mark.parametrize("case", MISUSES)
async def test_what_cannot_take_effect_is_a_warning_and_the_stream_goes_on(
    server_address: str, case: str
) -> None:
    script, code, fields = MISUSES[case]
    events = await spoken(server_address, *script, PART[:6_400], **fields)
    assert warnings(events) == [code]
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
    assert not [d for d in of_kind(events, "control_done") if d.control_id]


async def test_too_many_waiting_controls_are_refused_one_by_one(server_address: str) -> None:
    events = await spoken(server_address, *[flush(16_000) for _ in range(70)], PART[:6_400])
    assert warnings(events).count("CONTROL_WITHOUT_EFFECT") >= 6


async def test_a_turn_combines_its_utterances(server_address: str) -> None:
    begin = control(turn_started=pb.TurnStarted(turn_id="t1"), control_id="b")
    end = control(turn_ended=pb.TurnEnded(turn_id="t1"), control_id="e")
    events = await spoken(server_address, begin, PART, end, TALK[16_000 * 10 : 16_000 * 20].tobytes())
    turn = of_kind(events, "turn_affect")[0]
    inside = [f for f in finals(events) if f.turn_id == "t1"]
    assert len(of_kind(events, "turn_affect")) == 1
    assert len(inside) >= 2
    assert list(turn.utterance_ids) == [f.utterance_id for f in inside]
    assert turn.audio_start == inside[0].audio_start
    assert turn.audio_end == inside[-1].audio_end
    assert [f.turn_id for f in finals(events) if f not in inside] == [""] * (
        len(finals(events)) - len(inside)
    )
    assert sum(e.probability for e in turn.emotions) == pytest.approx(1, abs=1e-5)
    chosen = [f for f in inside if f.status == turn.status]
    arousal = [f.dimensions.arousal for f in chosen]
    assert min(arousal) <= turn.dimensions.arousal <= max(arousal)
    kinds = [event.WhichOneof("event") for event in events]
    last_final = max(i for i, e in enumerate(events) if e.HasField("affect") and e.affect.turn_id == "t1")
    assert kinds.index("turn_affect") > last_final, "after every final of the turn"


async def test_an_open_turn_ends_with_the_session_and_a_silent_one_says_so(server_address: str) -> None:
    open_turn = await spoken(server_address, control(turn_started=pb.TurnStarted(turn_id="t")), PART)
    assert of_kind(open_turn, "turn_affect")[0].utterance_ids
    silent = await spoken(
        server_address,
        control(turn_started=pb.TurnStarted(turn_id="t")),
        bytes(32_000),
        control(turn_ended=pb.TurnEnded(turn_id="t")),
    )
    turn = of_kind(silent, "turn_affect")[0]
    assert turn.status == pb.AFFECT_STATUS_INSUFFICIENT_SPEECH
    assert not turn.emotions


async def test_speech_while_the_agent_speaks_is_a_barge_in_and_short_speech_its_echo() -> None:
    agent = control(agent_speech_started=pb.AgentSpeechStarted())
    async with running_server({"agent_speech": {"min_speech_ms": 320}}) as server:
        events = await spoken(server.address, agent, PART)
        assert finals(events)
        assert all(f.quality.barge_in for f in finals(events))
        assert all(s.barge_in for s in of_kind(events, "speech_started"))
        done = control(agent_speech_ended=pb.AgentSpeechEnded())
        after = await spoken(server.address, agent, done, PART)
        assert not any(f.quality.barge_in for f in finals(after))
    one_second = PART[: 2 * round((seconds(finals(events)[0].audio_start) + 1.0) * 16_000)] + bytes(32_000)
    for gate_ms, declared in ((320, 1), (2_000, 0)):
        async with running_server({"agent_speech": {"min_speech_ms": gate_ms}}) as server:
            assert len(finals(await spoken(server.address, agent, one_second))) == declared


async def test_a_pause_ends_the_utterance_and_resuming_with_a_position_leaves_a_gap(
    server_address: str,
) -> None:
    first = finals(await spoken(server_address, PART))[0]
    middle = round((seconds(first.audio_start) + 1.0) * 16_000)
    later = middle + 16_000 * 60
    events = await spoken(
        server_address,
        PART[: 2 * middle],
        control(audio_paused=pb.AudioPaused(), control_id="p"),
        control(later, audio_resumed=pb.AudioResumed(), control_id="r"),
        PART[2 * middle :],
    )
    cut = finals(events)[0]
    assert cut.trigger == pb.TRIGGER_AUDIO_STALLED
    assert seconds(cut.audio_end) <= middle / 16_000
    gap = of_kind(events, "gap")[0]
    assert (seconds(gap.audio_start), seconds(gap.audio_end)) == (middle / 16_000, later / 16_000)
    assert all(seconds(f.audio_start) >= later / 16_000 for f in finals(events)[1:])
    assert of_kind(events, "progress")[-1].received_until_samples == len(PART) // 2 + 16_000 * 60


async def test_audio_while_paused_is_said_and_taken(server_address: str) -> None:
    events = await spoken(server_address, control(audio_paused=pb.AudioPaused()), PART[:64_000])
    assert warnings(events) == ["AUDIO_WHILE_PAUSED"]
    assert of_kind(events, "progress")[-1].received_until_samples == 32_000


def numbered(start: int, data: bytes) -> Request:
    return Request(audio=pb.AudioChunk(data=data, start_samples=start))


async def test_overlapping_audio_is_dropped_and_changes_nothing(server_address: str) -> None:
    plain = await spoken(server_address, PART)
    requests: list[Request] = [config()]
    for place in range(0, len(PART), 640):
        back = max(0, place - 320)
        requests.append(numbered(back // 2, PART[back : place + 640]))
        requests.append(numbered(back // 2, PART[back:place]))
    events = await converse(server_address, [*requests, END])
    assert [(f.audio_start, f.audio_end, f.top_label) for f in finals(events)] == [
        (f.audio_start, f.audio_end, f.top_label) for f in finals(plain)
    ]
    assert not of_kind(events, "gap")


@pytest.mark.parametrize("hole", [1, 160, 16_000 * 3])
async def test_a_hole_is_a_gap_and_time_does_not_shift(server_address: str, hole: int) -> None:
    plain = finals(await spoken(server_address, PART))
    quiet = round((seconds(plain[0].audio_end) + seconds(plain[1].audio_start)) / 2 * 16_000)
    requests = [
        config(),
        *chunks(PART[: 2 * quiet]),
        numbered(quiet + hole, PART[2 * quiet : 2 * quiet + 640]),
    ]
    events = await converse(server_address, [*requests, *chunks(PART[2 * quiet + 640 :]), END])
    gap = of_kind(events, "gap")[0]
    assert (seconds(gap.audio_start), seconds(gap.audio_end)) == pytest.approx(
        (quiet / 16_000, (quiet + hole) / 16_000), abs=1e-9
    )
    got = finals(events)
    assert len(got) == len(plain)
    for before, after in zip(plain[1:], got[1:], strict=True):
        assert seconds(after.audio_start) == pytest.approx(
            seconds(before.audio_start) + hole / 16_000, abs=0.05
        )


async def test_withdrawn_consent_takes_the_values_out_of_every_later_final(server_address: str) -> None:
    first = finals(await spoken(server_address, PART))[0]
    after_first = 2 * round((seconds(first.audio_end) + 0.6) * 16_000)
    events: list[pb.SessionEvent] = []

    async def send() -> AsyncIterator[Request]:
        yield config()
        for chunk in chunks(PART[:after_first]):
            yield chunk
        while not finals(events):
            await asyncio.sleep(0.01)
        yield control(consent_withdrawn=pb.ConsentWithdrawn(), control_id="w")
        for chunk in chunks(PART[after_first:]):
            yield chunk
        yield END

    await exchange(server_address, send(), events)
    before, *later = finals(events)
    assert before.emotions
    assert later
    for final in later:
        assert final.status == pb.AFFECT_STATUS_CONSENT_WITHHELD
        assert not final.emotions
        assert not final.HasField("dimensions")


async def test_two_channels_hear_what_each_hears_alone(server_address: str, speech: Path) -> None:
    customer, agent = (talk.samples[: 16_000 * 30] for talk in talks(speech)[:2])
    both = [pb.ChannelConfig(index=0, analyze=True), pb.ChannelConfig(index=1, analyze=True)]
    stereo = np.stack([customer, agent], axis=1).astype("<i2").tobytes()
    events = await converse(
        server_address, [config(channel_count=2, channels=both), *chunks(stereo, 1_280), END]
    )
    for index, samples in enumerate((customer, agent)):
        alone = finals(await stream_talk(server_address, samples))
        here = [e.affect for e in events if e.HasField("affect") and e.channel == index]
        assert [(f.audio_start, f.audio_end, f.top_label) for f in here] == [
            (f.audio_start, f.audio_end, f.top_label) for f in alone
        ]
        for a, b in zip(here, alone, strict=True):
            assert [e.probability for e in a.emotions] == pytest.approx(
                [e.probability for e in b.emotions], abs=1e-5
            )


async def test_a_refused_role_stays_silent_beside_one_that_is_heard(server_address: str) -> None:
    channels = [
        pb.ChannelConfig(index=0, analyze=True, subject_role=pb.SUBJECT_ROLE_CUSTOMER),
        pb.ChannelConfig(index=1, analyze=True, subject_role=pb.SUBJECT_ROLE_EMPLOYEE),
    ]
    mono = np.frombuffer(PART, "<i2")
    stereo = np.stack([mono, mono], axis=1).tobytes()
    events = await converse(
        server_address, [config(channel_count=2, channels=channels), *chunks(stereo, 1_280), END]
    )
    assert [c.analyze for c in events[0].session_started.channels] == [True, False]
    assert warnings(events) == ["CHANNEL_NOT_ANALYSED"]
    assert {e.channel for e in events if e.HasField("affect")} == {0}
