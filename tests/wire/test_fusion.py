"""Transcripts on a real server: weighed in, marked, late or nobody's with a reason, and kept nowhere."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import numpy as np
import pytest

from affectstream import AffectClient, AffectEvent, ControlWithoutEffect
from affectstream.config import Endpointing, StreamConfig
from affectstream.enums import EndpointingMode, Feature
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.settings_fusion import FusionSettings
from affectstream_server.stages.fuse import open_fusion
from tests.support.speech import sample_talk
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
    stream_talk,
)

SECOND = 16_000
TALK = sample_talk()[SECOND : 4 * SECOND]
CALLER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER)
WORDS = "this is wonderful, thank you so much"
LEXICON: dict[str, dict[str, Any]] = {"fusion": {"text": "lexicon"}}


def control(position: int | None = None, control_id: str = "", **kind: Any) -> Request:
    return Request(control=pb.Control(control_id=control_id, position_samples=position, **kind))


def said(text: str = WORDS, start: int = 0, end: int = 2 * SECOND, **fields: Any) -> Request:
    fields.setdefault("is_final", True)
    transcript = pb.Transcript(text=text, start_samples=start, end_samples=end, **fields)
    return control(control_id="said", transcript=transcript)


def conversation(*words: Request, language: str = "en-GB") -> list[Request]:
    """One utterance of 2 s by the caller's own detection, and the words before its end."""
    return [
        config(endpointing=CALLER, language_code=language, outputs=pb.OutputConfig(embedding=True)),
        control(0, speech_started=pb.CallerSpeechStarted()),
        *chunks(TALK[: 2 * SECOND].tobytes()),
        *words,
        control(2 * SECOND, speech_ended=pb.CallerSpeechEnded()),
        *chunks(TALK[2 * SECOND :].tobytes()),
        END,
    ]


def warnings(events: list[pb.SessionEvent]) -> list[pb.Warning]:
    return list(of_kind(events, "warning"))


async def heard(
    requests: list[Request], settings: dict[str, dict[str, Any]] = LEXICON
) -> list[pb.SessionEvent]:
    async with running_server(settings) as server:
        return await asyncio.wait_for(converse(server.address, requests), 30)


async def test_words_are_weighed_in_and_marked() -> None:
    events = await heard(conversation(said()))
    (plain,) = finals(await heard(conversation()))
    (final,) = finals(events)
    fusion = open_fusion(FusionSettings(text="lexicon"))
    assert fusion is not None
    labels = [score.label for score in plain.emotions]
    voice = np.array([score.probability for score in plain.emotions], np.float32)
    expected = fusion.fuse(WORDS, voice, labels)
    assert expected is not None
    told = [score.probability for score in final.emotions]
    np.testing.assert_allclose(told, expected.probabilities, atol=1e-5)
    assert final.text_fused
    assert final.text_weight == pytest.approx(expected.text_weight, abs=1e-5)
    assert told[labels.index("happy")] > voice[labels.index("happy")]
    assert final.top_label == labels[int(np.argmax(told))]
    assert final.uncertainty.calibrated is False, "what was calibrated is the voice alone"
    assert final.uncertainty.entropy != pytest.approx(plain.uncertainty.entropy)
    assert (final.dimensions, final.embedding) == (plain.dimensions, plain.embedding)
    assert [done.control_id for done in of_kind(events, "control_done")] == ["said"]
    assert not warnings(events)


async def test_without_words_nothing_is_other_than_without_fusion() -> None:
    (on,), (off,) = finals(await heard(conversation())), finals(await heard(conversation(), {}))
    for event in (on, off):
        for name in ("utterance_id", "timing"):
            event.ClearField(name)
    assert on == off
    assert not on.text_fused
    assert not on.HasField("text_weight")


@pytest.mark.parametrize(
    ("words", "language"),
    [
        pytest.param(said(is_final=False), "en", id="not final"),
        pytest.param(said("the keys are on the table"), "en", id="nothing in the lexicon"),
        pytest.param(said(""), "en", id="empty"),
    ],
)
async def test_words_that_say_nothing_are_acknowledged_and_not_fused(words: Request, language: str) -> None:
    events = await heard(conversation(words, language=language))
    assert not any(final.text_fused for final in finals(events))
    assert len(of_kind(events, "control_done")) == 1
    assert not warnings(events)


@pytest.mark.parametrize(
    ("words", "language", "code"),
    [
        pytest.param(said(), "de", "TRANSCRIPT_LANGUAGE", id="German"),
        pytest.param(said(), "", "TRANSCRIPT_LANGUAGE", id="no language"),
        pytest.param(said(start=5, end=5), "en", "POSITION_OUT_OF_RANGE", id="no span"),
        pytest.param(said(start=-5), "en", "POSITION_OUT_OF_RANGE", id="before the start"),
        pytest.param(said(end=90 * SECOND), "en", "POSITION_OUT_OF_RANGE", id="far ahead"),
        pytest.param(said("x" * 4097), "en", "TRANSCRIPT_TOO_LONG", id="too long"),
    ],
)
async def test_what_cannot_be_used_is_a_warning_with_the_reason(
    words: Request, language: str, code: str
) -> None:
    events = await heard(conversation(words, language=language))
    (warning,) = warnings(events)
    assert (warning.code, warning.control_id, warning.field) == (code, "said", "control.transcript")
    assert "xxx" not in warning.message + warning.value
    (final,) = finals(events)
    assert final.emotions
    assert not final.text_fused


async def test_words_of_another_channel_than_is_analysed() -> None:
    words = said()
    words.control.channel = 3
    assert [one.code for one in warnings(await heard(conversation(words)))] == ["NO_SUCH_CHANNEL"]


async def test_words_after_the_final_are_told_whose_they_were() -> None:
    events: list[pb.SessionEvent] = []

    async def talk() -> AsyncIterator[Request]:
        for request in conversation()[:-1]:
            yield request
        while not finals(events):
            await asyncio.sleep(0.01)
        yield said()
        yield END

    async with running_server(LEXICON) as server:
        await asyncio.wait_for(exchange(server.address, talk(), events), 30)
    (final,), (warning,) = finals(events), warnings(events)
    assert (warning.code, warning.value) == ("TRANSCRIPT_TOO_LATE", final.utterance_id)


async def test_words_where_nobody_spoke_are_told_so() -> None:
    silence = audio(bytes(2 * SECOND))
    words = said(start=SECOND // 2, end=SECOND)
    requests = [config(language_code="en"), *[silence] * 4, words, END]
    assert [one.code for one in warnings(await heard(requests))] == ["TRANSCRIPT_WITHOUT_UTTERANCE"]


async def test_a_final_waits_for_its_words_and_they_end_the_wait() -> None:
    """They come 100 ms after the endpoint; the limit is far away."""
    events: list[pb.SessionEvent] = []
    requests = conversation()

    async def talk() -> AsyncIterator[Request]:
        for request in requests[:-1]:
            yield request
        while not of_kind(events, "speech_ended"):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.1)
        assert not finals(events)
        yield said()
        while not finals(events):
            await asyncio.sleep(0.01)
        yield END

    settings = {"fusion": {"text": "lexicon", "wait_ms": 2_000}}
    async with running_server(settings) as server:
        await asyncio.wait_for(exchange(server.address, talk(), events), 30)
    (final,) = finals(events)
    assert final.text_fused
    assert final.timing.decide_ms < 1_900


@pytest.mark.parametrize("ends", [False, True])
async def test_words_that_never_come_delay_a_final_no_longer_than_allowed(ends: bool) -> None:
    """With the end of the audio no words can come, and nothing is waited for."""
    events: list[pb.SessionEvent] = []
    requests = conversation()

    async def talk() -> AsyncIterator[Request]:
        for request in requests[:-1]:
            yield request
        while not ends and not finals(events):
            await asyncio.sleep(0.01)
        yield END

    wait_ms = 2_000 if ends else 200
    async with running_server({"fusion": {"text": "lexicon", "wait_ms": wait_ms}}) as server:
        await asyncio.wait_for(exchange(server.address, talk(), events), 30)
    (final,) = finals(events)
    assert final.emotions
    assert not final.text_fused
    assert final.timing.decide_ms < (1_900 if ends else 1_000)


async def test_withdrawn_consent_takes_the_words_too() -> None:
    withdrawn = control(consent_withdrawn=pb.ConsentWithdrawn())
    (final,) = finals(await heard(conversation(said(), withdrawn)))
    assert final.status == pb.AFFECT_STATUS_CONSENT_WITHHELD
    assert not final.text_fused
    assert not final.HasField("text_weight")


async def test_text_is_in_no_log_and_no_event(caplog: pytest.LogCaptureFixture) -> None:
    mark = "wonderful-mark-91c4e7"
    late = said(f"{mark} again", start=0, end=SECOND)
    with caplog.at_level(logging.DEBUG):
        async with running_server(LEXICON) as server:
            events = await converse(
                server.address, conversation(said(f"wonderful {mark}"), late, said(f"{mark}", 9, 3))
            )
    assert finals(events)[0].text_fused
    assert not any(mark.encode() in event.SerializeToString() for event in events)
    assert mark not in caplog.text


async def test_the_client_sends_words_and_is_told() -> None:
    async with running_server(LEXICON) as server, AffectClient(server.address) as client:
        assert Feature.TRANSCRIPT_FUSION in (await client.server_info()).features
        wanted = StreamConfig(endpointing=Endpointing(mode=EndpointingMode.CALLER), language_code="en")
        async with client.stream(wanted) as stream:
            await stream.speech_started(position_samples=0)
            for start in range(0, 2 * SECOND, 1_600):
                await stream.send(TALK[start : start + 1_600])
            sent = await stream.transcript(WORDS, start_samples=0, end_samples=2 * SECOND)
            await sent.done()
            wrong = await stream.transcript(WORDS, start_samples=9, end_samples=3)
            with pytest.raises(ControlWithoutEffect) as told:
                await wrong.done()
            await stream.speech_ended()
            await stream.end()
            events = [event async for event in stream if isinstance(event, AffectEvent)]
    assert told.value.reason == "POSITION_OUT_OF_RANGE"
    (event,) = [event for event in events if event.is_final]
    assert event.text_fused
    assert event.text_weight is not None
    assert 0 < event.text_weight < 1


async def test_off_is_the_default_and_refuses(server_address: str) -> None:
    async with AffectClient(server_address) as client:
        assert Feature.TRANSCRIPT_FUSION not in (await client.server_info()).features
    events = await stream_talk(server_address, TALK, language_code="en")
    assert not any(final.text_fused for final in finals(events))
