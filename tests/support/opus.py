"""Opus for tests: Ogg made by libsndfile, raw packets made by libopus."""

from __future__ import annotations

from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from typing import Any

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from affectstream_server.stages.ogg import Page, PageReader, checksum


def ogg_opus(samples: NDArray[Any], rate_hz: int = 16_000) -> bytes:
    """An Ogg stream of samples ``[n]`` or ``[n, channels]``."""
    with BytesIO() as out:
        soundfile.write(out, samples, rate_hz, format="OGG", subtype="OPUS")
        return out.getvalue()


def packets(samples: NDArray[np.int16], rate_hz: int = 16_000, *, frame_ms: int = 20) -> list[bytes]:
    """Raw packets of one channel ``[n]``, and what the encoder holds back at its end."""
    codec = av.CodecContext.create("libopus", "w")
    assert isinstance(codec, av.AudioCodecContext)
    codec.sample_rate, codec.layout, codec.format = rate_hz, "mono", "s16"
    codec.time_base = Fraction(1, rate_hz)
    codec.options = {"frame_duration": str(frame_ms)}
    size = rate_hz * frame_ms // 1_000
    made = []
    for start in range(0, len(samples) - size + 1, size):
        frame = av.AudioFrame.from_ndarray(samples[np.newaxis, start : start + size], "s16", "mono")
        frame.sample_rate, frame.pts = rate_hz, start
        made += [bytes(packet) for packet in codec.encode(frame)]
    return made + [bytes(packet) for packet in codec.encode(None)]


def pages(ogg: bytes) -> list[bytes]:
    """The pages of an Ogg stream, as bytes."""
    starts = [*_starts(ogg), len(ogg)]
    return [ogg[start:end] for start, end in pairwise(starts)]


def _starts(ogg: bytes) -> list[int]:
    starts, at = [], 0
    while at < len(ogg):
        starts.append(at)
        count = ogg[at + 26]
        at += 27 + count + sum(ogg[at + 27 : at + 27 + count])
    return starts


def parsed(page: bytes) -> Page:
    """What a page holds."""
    (only,) = PageReader().feed(page)
    return only


def sealed(page: bytes) -> bytes:
    """A page that was changed, with the checksum it must have."""
    return page[:22] + checksum(page) + page[26:]
