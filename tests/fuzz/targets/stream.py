"""Messages of StreamAffect through the whole pipeline, with the real detector and model, and no socket.

An input is messages, each after its length; an empty one stands for a line that was lost and opened again. A
resume token of ``*`` stands for the newest that the server gave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import ANONYMOUS
from affectstream_server.edge.codec import bounded
from affectstream_server.errors import ServiceError
from affectstream_server.pipeline import Pipeline
from tests.fuzz.messages import joined, mutated, split
from tests.fuzz.oracle import Found, check_events, check_refusal, watched
from tests.fuzz.pipeline import Serving, serving
from tests.fuzz.target import Flip, Run, Target

_parse = bounded(pb.StreamAffectRequest.FromString, LIMITS.message_bytes)


@contextmanager
def opened() -> Iterator[Run]:
    """What takes an input: one conversation over one line or several; afterwards nothing of it is left."""
    with serving() as server:

        def run(data: bytes) -> None:
            with watched():
                server.complete(_converse(server, data))

        yield run


def mutate(data: bytes, max_size: int, seed: int, flip: Flip) -> bytes:
    """See `messages.mutated`."""
    return mutated(data, max_size, seed, pb.StreamAffectRequest, flip)


async def _converse(server: Serving, data: bytes) -> None:
    pipeline = server.pipeline
    events: list[pb.SessionEvent] = []
    line: list[bytes] = []
    for part in [*split(data), b""]:
        if part:
            line.append(part)
        elif line:
            events = await _one_line(pipeline, line, events, data)
            line = []
    pipeline.sessions.close_lost()
    left = (pipeline.streams, len(pipeline.sessions), pipeline.waiting)
    if any(left):
        raise Found(f"left: {left[0]} streams, {left[1]} sessions, {left[2]} channels")
    here = [task for task in asyncio.all_tasks() if "Stream.write_all" in repr(task.get_coro())]
    if here:
        raise Found(f"left: {here}")


async def _one_line(
    pipeline: Pipeline, line: list[bytes], before: list[pb.SessionEvent], given: bytes
) -> list[pb.SessionEvent]:
    """As the edge does it. Returns the events."""
    events: list[pb.SessionEvent] = []

    async def take(message: bytes) -> None:
        events.append(pb.StreamAffectResponse.FromString(message).event)

    stream = pipeline.open_stream(ANONYMOUS)
    writer = asyncio.get_running_loop().create_task(stream.write_all(take))
    try:
        for part in line:
            request = _parse(part)
            if isinstance(request, ServiceError):
                raise request
            _fill_in(request, before)
            stream.receive(request)
            await stream.room()
            await asyncio.sleep(0)  # as between two messages on a wire: the writer's turn
            if stream.failure is not None:
                break
    except ServiceError as error:
        stream.fail(error)
    try:
        if stream.failure is not None:
            await stream.settle()
        if stream.failure is not None or stream.finished:
            await writer
    finally:
        writer.cancel()
        await asyncio.wait([writer])
        pipeline.close_stream(stream)
    check_events(events, given)
    if stream.failure is not None:
        check_refusal(stream.failure, given)
    elif stream.finished and not (events and events[-1].HasField("session_closed")):
        raise Found("the session ended well and did not say so")
    return events


def _fill_in(request: pb.StreamAffectRequest, before: list[pb.SessionEvent]) -> None:
    resume = request.config.resume if request.HasField("config") else None
    if resume is not None and resume.resume_token == b"*" and before:
        resume.session_id = before[0].session_id
        resume.resume_token = before[0].session_started.resume_token


def _config(**fields: Any) -> bytes:
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hz=8_000, channel_count=1)
    return pb.StreamAffectRequest(config=pb.SessionConfig(**{"audio": audio, **fields})).SerializeToString()


def _audio(data: bytes, **fields: Any) -> bytes:
    return pb.StreamAffectRequest(audio=pb.AudioChunk(data=data, **fields)).SerializeToString()


def _control(**fields: Any) -> bytes:
    return pb.StreamAffectRequest(control=pb.Control(**fields)).SerializeToString()


def _seeds() -> dict[str, bytes]:
    time = np.arange(4_800) / 8_000
    buzz = sum(np.sin(2 * np.pi * 140 * over * time) / over for over in range(1, 12))
    loud = 2_500 * buzz * (1 + np.sin(20 * time)) / 32_768
    code = np.round(127 * np.sign(loud) * np.log1p(255 * np.abs(loud)) / np.log(256)).astype(int)
    sound = np.where(code < 0, 127 + code, 255 - code).astype(np.uint8).tobytes()  # μ-law
    caller = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER)
    end = _control(end_of_audio=pb.EndOfAudio())
    both = [pb.ChannelConfig(index=index, analyze=True) for index in range(2)]
    stereo = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_MULAW, sample_rate_hz=8_000, channel_count=2)
    started = _control(position_samples=0, speech_started=pb.CallerSpeechStarted())
    outputs = pb.OutputConfig(cues=True, embedding=True, provisional_interval_ms=250)
    words = pb.Transcript(text="that is fine")
    controls = [
        _control(control_id=f"c{number}", **{field.name: {"turn_id": "t"} if "turn" in field.name else {}})
        for number, field in enumerate(pb.Control.DESCRIPTOR.oneofs_by_name["control"].fields)
        if field.name != "end_of_audio"
    ]
    return {
        "nothing": joined([_config(), end]),
        "server": joined([_config(), _audio(sound), end]),
        "caller": joined([_config(endpointing=caller, outputs=outputs), started, _audio(sound), end]),
        "abandoned": joined([_config(endpointing=caller), started, _audio(sound)]),
        "stereo": joined([_config(audio=stereo, channels=both), _audio(bytes(range(256)) * 8), end]),
        "positions": joined([_config(), _audio(sound[:640], start_samples=8_000), _audio(sound[:640]), end]),
        "controls": joined([_config(endpointing=caller), _audio(sound), *controls, end]),
        "turns": joined(
            [
                _config(endpointing=caller, language_code="en"),
                _control(turn_started=pb.TurnStarted(turn_id="t")),
                started,
                _audio(sound),
                _control(transcript=words),
                _control(speech_ended=pb.CallerSpeechEnded()),
                _control(turn_ended=pb.TurnEnded(turn_id="t")),
                end,
            ]
        ),
        "resumed": joined(
            [
                _config(resumable=True, endpointing=caller),
                started,
                _audio(sound[:800]),
                b"",
                _config(
                    resumable=True,
                    endpointing=caller,
                    resume=pb.Resume(resume_token=b"*", audio_offset_samples=800),
                ),
                _audio(sound[800:]),
                end,
            ]
        ),
    }


TARGET = Target(opened=opened, seeds=_seeds(), most_bytes=16 * 1024, mutate=mutate)
