"""AnalyzeUtterance: one message, its answer from the real model."""

from __future__ import annotations

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
from tests.fuzz.oracle import Found, check_event, check_refusal, watched
from tests.fuzz.pipeline import serving
from tests.fuzz.target import Flip, Run, Target
from tests.support.opus import ogg_opus

_parse = bounded(pb.AnalyzeUtteranceRequest.FromString, LIMITS.analyze_bytes)


@contextmanager
def opened() -> Iterator[Run]:
    """What takes an input: a few calls, one after the other."""
    with serving() as server:

        def run(data: bytes) -> None:
            with watched():
                for part in split(data)[:4]:
                    server.complete(_ask(server.pipeline, part))

        yield run


def mutate(data: bytes, max_size: int, seed: int, flip: Flip) -> bytes:
    """See `messages.mutated`."""
    return mutated(data, max_size, seed, pb.AnalyzeUtteranceRequest, flip)


async def _ask(pipeline: Pipeline, part: bytes) -> None:
    request = _parse(part)
    try:
        if isinstance(request, ServiceError):
            raise request
        answer = await pipeline.analyzer.analyze(request, 10.0, ANONYMOUS)
    except ServiceError as error:
        check_refusal(error, part)
    else:
        check_event(answer.event, part)
        if answer.event.status in (pb.AFFECT_STATUS_MODEL_ERROR, pb.AFFECT_STATUS_UNSPECIFIED):
            raise Found(f"status {answer.event.status}: {answer.event}")
    if pipeline.analyzer.in_flight:
        raise Found("the call is over and counted as in flight")


def _request(data: bytes, encoding: pb.AudioEncoding.ValueType, rate_hz: int, **fields: Any) -> bytes:
    audio = pb.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz)
    return joined([pb.AnalyzeUtteranceRequest(audio=audio, data=data, **fields).SerializeToString()])


def _seeds() -> dict[str, bytes]:
    tone = (8_000 * np.sin(np.arange(6_400) / 9)).astype(np.int16)
    outputs = pb.OutputConfig(cues=True, embedding=True)
    return {
        "linear16": _request(tone.tobytes(), pb.AUDIO_ENCODING_LINEAR16, 16_000, outputs=outputs),
        "float32": _request(
            (tone[:2_000] / np.float32(32_768)).astype("<f4").tobytes(), pb.AUDIO_ENCODING_FLOAT32, 8_000
        ),
        "mulaw": _request(bytes(range(256)) * 16, pb.AUDIO_ENCODING_MULAW, 8_000, utterance_id="u"),
        "short": _request(bytes(64), pb.AUDIO_ENCODING_ALAW, 8_000, language_code="de-AT"),
        "ogg": _request(ogg_opus(tone), pb.AUDIO_ENCODING_OGG_OPUS, 48_000),
    }


TARGET = Target(opened=opened, seeds=_seeds(), most_bytes=16 * 1024, mutate=mutate)
