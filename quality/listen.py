"""Talks through the server's own stages, in virtual time: decoder, detector, segmenter, channel by channel.

Every talk is a stream of 20 ms frames; all streams advance together, so the detector sees batches as
it does in the server.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.channel import Channel
from affectstream_server.settings import EndpointingSettings
from affectstream_server.stages.decode import AudioFormat, Decoder
from affectstream_server.stages.detect import CONTEXT_SAMPLES, Detector
from affectstream_server.stages.segment import Ended, Endpointing, Segmenter, Trigger
from affectstream_server.utterance import Utterance
from quality.measure import Heard
from quality.talks import Span, Talk

Line = Literal["16 kHz", "8 kHz µ-law"]
FRAME_MS: Final = 20
_TELEPHONE_HZ: Final = 8_000
_FULL_SCALE: Final = 32_768.0
Progress = Callable[[int, int], None]
"""Milliseconds heard, milliseconds in all."""


@dataclass(slots=True)
class Listened:
    """What one talk's stream gave: the detector's answers, one a block, and the utterances."""

    probabilities: list[float] = field(default_factory=list)
    levels_db: list[float] = field(default_factory=list)
    heard: list[Heard] = field(default_factory=list)


def listen(
    talks: Sequence[Talk],
    settings: EndpointingSettings,
    line: Line = "16 kHz",
    progress: Progress | None = None,
) -> list[Listened]:
    """Stream all talks at once through the server's stages."""
    rate = SAMPLE_RATE_HZ if line == "16 kHz" else _TELEPHONE_HZ
    audio_format = AudioFormat("LINEAR16" if line == "16 kHz" else "MULAW", rate, 1)
    detector = Detector(max_batch=max(1, len(talks)))
    rules = Endpointing.from_settings(settings)
    slots = [detector.open() for _ in talks]
    channels = [
        Channel(0, slot, Decoder(audio_format, 0), Segmenter(rules), talk.name)
        for slot, talk in zip(slots, talks, strict=True)
    ]
    streams = [talk.audio.tobytes() if line == "16 kHz" else to_mulaw(talk.audio) for talk in talks]
    results = [Listened() for _ in talks]
    frame_bytes = audio_format.frame_bytes * rate * FRAME_MS // 1_000
    longest = max((len(stream) for stream in streams), default=0)
    for place in range(0, longest + frame_bytes, frame_bytes):
        for channel, stream in zip(channels, streams, strict=True):
            if place < len(stream):
                channel.feed(stream[place : place + frame_bytes], 0.0)
            elif place < len(stream) + frame_bytes:
                channel.end_audio(0.0)
        while ready := [i for i, channel in enumerate(channels) if channel.has_block]:
            _look(detector, slots, channels, ready, results)
        if progress is not None and place // frame_bytes % 50 == 0:
            progress(place // frame_bytes * FRAME_MS, longest // frame_bytes * FRAME_MS)
    for channel, result in zip(channels, results, strict=True):
        if (last := channel.close_utterance(Trigger.END_OF_AUDIO)) is not None:
            result.heard.append(_heard(last.bounds))
    return results


def _look(
    detector: Detector,
    slots: Sequence[int],
    channels: Sequence[Channel],
    ready: Sequence[int],
    results: Sequence[Listened],
) -> None:
    windows = [channels[i].window() for i in ready]
    probabilities = detector.detect([slots[i] for i in ready], windows)[0]
    for i, probability, window in zip(ready, probabilities.tolist(), windows, strict=True):
        results[i].probabilities.append(probability)
        results[i].levels_db.append(_level_db(window[CONTEXT_SAMPLES:]))
        for decided in channels[i].decide(probability, 0.0):
            if isinstance(decided, Utterance):
                results[i].heard.append(_heard(decided.bounds))


def _level_db(block: NDArray[np.int16]) -> float:
    """Level of a block against full scale: 0 to -100."""
    power = float(np.mean((block / _FULL_SCALE) ** 2))
    return 10.0 * math.log10(max(power, 1e-10))


def segment(probabilities: Sequence[float], length: int, segmenter: Segmenter) -> list[Heard]:
    """The same from the detector's answers of a talk of ``length`` samples, for quick comparisons."""
    heard = [
        _heard(boundary)
        for probability in probabilities
        for boundary in segmenter.push(probability)
        if isinstance(boundary, Ended)
    ]
    if (last := segmenter.finish(length, Trigger.END_OF_AUDIO)) is not None:
        heard.append(_heard(last))
    return heard


def to_mulaw(audio: NDArray[np.int16]) -> bytes:
    """A telephone's rendering of int16 ``[n]`` at 16 kHz: ITU-T G.711 µ-law at 8 kHz."""
    narrow = soxr.resample(audio, SAMPLE_RATE_HZ, _TELEPHONE_HZ, quality="HQ").astype(np.int32)
    sign = np.where(narrow < 0, 0x80, 0)
    magnitude = np.minimum(np.abs(narrow), 32_635) + 0x84
    exponent = np.floor(np.log2(magnitude)).astype(np.int32) - 7
    mantissa = (magnitude >> (exponent + 3)) & 0x0F
    code: NDArray[np.uint8] = (~(sign | (exponent << 4) | mantissa) & 0xFF).astype(np.uint8)
    return code.tobytes()


def _heard(bounds: Ended) -> Heard:
    return Heard(Span(bounds.audio_start, bounds.audio_end), bounds.decidable_at)
