"""Decode: PCM of any accepted format into 16-bit samples at 16 kHz, a channel at a time.

Opus is unpacked into PCM first, all channels at once: see `affectstream_server.stages.opus`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
import soxr
from numpy.typing import NDArray

from affectstream.contract import LIMITS, SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import InvalidRequest
from affectstream_server.stages.quality import FULL_SCALE

Encoding = Literal["LINEAR16", "FLOAT32", "MULAW", "ALAW", "OGG_OPUS", "OPUS_PACKETS"]
Samples = NDArray[np.int16]

OPUS_RATE_HZ: Final = 48_000
"""What Opus is unpacked at, whatever rate is declared."""
_SCALE: Final = np.float32(32_768)
_INT16: Final = np.dtype("<i2")


def _g711_table(encoding: Encoding) -> Samples:
    """The 256 values of ITU-T G.711, as 16-bit samples."""
    code = np.arange(256, dtype=np.int32)
    if encoding == "MULAW":
        code = ~code & 0xFF
        exponent, mantissa = (code >> 4) & 7, code & 0xF
        magnitude = (((mantissa << 3) + 0x84) << exponent) - 0x84
        return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)
    code ^= 0x55
    exponent, mantissa = (code >> 4) & 7, code & 0xF
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent == 0, linear, (linear + 0x100) << np.maximum(exponent - 1, 0))
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


_TABLES: Final = {encoding: _g711_table(encoding) for encoding in ("MULAW", "ALAW")}
_WIDTH_BYTES: Final = {"LINEAR16": 2, "FLOAT32": 4, "MULAW": 1, "ALAW": 1}


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """What the bytes of a stream are."""

    encoding: Encoding
    sample_rate_hz: int
    channel_count: int

    frame_bytes: int = field(init=False, repr=False, compare=False)
    """Bytes of PCM for one sample of every channel at the declared rate."""

    def __post_init__(self) -> None:
        step = OPUS_RATE_HZ // self.sample_rate_hz if self.compressed else 1
        width = _WIDTH_BYTES["FLOAT32" if self.compressed else self.encoding]
        object.__setattr__(self, "frame_bytes", width * self.channel_count * step)

    @property
    def compressed(self) -> bool:
        """It is unpacked into PCM first."""
        return self.encoding in ("OGG_OPUS", "OPUS_PACKETS")

    @property
    def pcm(self) -> AudioFormat:
        """What `Decoder` takes: this, or what it is unpacked to."""
        return AudioFormat("FLOAT32", OPUS_RATE_HZ, self.channel_count) if self.compressed else self

    def message(self) -> pb.AudioFormat:
        """As events name it."""
        return pb.AudioFormat(
            encoding=pb.AudioEncoding.Value(f"AUDIO_ENCODING_{self.encoding}"),
            sample_rate_hz=self.sample_rate_hz,
            channel_count=self.channel_count,
        )


class Decoder:
    """Turns a stream's chunks into samples of one channel at 16 kHz.

    The resampler delays what it gives by up to 40 ms (30 ms from 8 kHz) and loses nothing: sample k
    of the output stands for time k / 16,000 s, and `finish` gives the rest.
    """

    def __init__(self, audio_format: AudioFormat, channel: int, *, limit_ms: int = LIMITS.chunk_ms) -> None:
        """``limit_ms``: most audio in a chunk."""
        self._format = audio_format.pcm
        self._limit_ms = limit_ms
        self._channel = channel
        self._resampler = _resampler(self._format)
        as_served = audio_format == AudioFormat("LINEAR16", SAMPLE_RATE_HZ, 1)
        self._plain_bytes = limit_ms * SAMPLE_RATE_HZ // 1_000 * 2 if as_served else 0
        """Most bytes of a chunk that only has to be looked at as samples; 0: more has to be done."""

    def decode(self, data: bytes) -> Samples:
        """Decode one chunk of whole frames: int16 ``[n]``. Raises `InvalidRequest`."""
        if not len(data) & 1 and len(data) <= self._plain_bytes:
            return np.frombuffer(data, _INT16)
        check_chunk(data, self._format, self._limit_ms)
        encoding = self._format.encoding
        samples: NDArray[np.int16] | NDArray[np.float32]
        if encoding == "LINEAR16":
            samples = np.frombuffer(data, _INT16)
        elif encoding == "FLOAT32":
            samples = np.frombuffer(data, "<f4")
        else:
            samples = _TABLES[encoding][np.frombuffer(data, np.uint8)]
        if self._format.channel_count > 1:
            samples = samples.reshape(-1, self._format.channel_count)[:, self._channel]
        if encoding == "FLOAT32":
            samples = self._checked(samples)
        if self._resampler is not None:
            samples = self._resampler.resample_chunk(_as_float(samples))
        return self._quantised(samples)

    def finish(self) -> Samples:
        """The samples still inside the resampler: int16 ``[n]``."""
        if self._resampler is None:
            return np.empty(0, np.int16)
        return self._quantised(self._resampler.resample_chunk(np.empty(0, np.float32), last=True))

    def restart(self) -> None:
        """Audio is missing: what comes next does not follow what came before."""
        self._resampler = _resampler(self._format)

    def _checked(self, samples: NDArray[np.generic]) -> NDArray[np.float32]:
        values = samples.astype(np.float32, copy=False)
        finite = np.isfinite(values)
        if not finite.all():
            place = int(np.argmin(finite))
            raise InvalidRequest(
                "audio.data", f"{values[place]} at sample {place}", "finite values", reason="NOT_FINITE"
            )
        return np.clip(values, -1.0, 1.0)

    def _quantised(self, samples: NDArray[np.int16] | NDArray[np.float32]) -> Samples:
        if samples.dtype == np.int16:
            result: Samples = samples  # type: ignore[assignment] # narrowed by its dtype
        else:
            scaled = np.rint(samples * _SCALE)
            result = np.clip(scaled, -_SCALE, FULL_SCALE).astype(np.int16)
        return result


def _as_float(samples: NDArray[np.int16] | NDArray[np.float32]) -> NDArray[np.float32]:
    """In -1..1 and contiguous. In int16 the resampler would add dither, another one each time."""
    scaled = samples / _SCALE if samples.dtype == np.int16 else samples
    return np.ascontiguousarray(scaled, np.float32)


def check_chunk(data: bytes, audio_format: AudioFormat, limit_ms: int) -> int:
    """Whole frames in a chunk. Raises `InvalidRequest` for a part of a frame or too much audio."""
    frames, rest = divmod(len(data), audio_format.frame_bytes)
    if rest:
        raise InvalidRequest(
            "audio.data",
            f"{len(data)} bytes",
            f"a multiple of {audio_format.frame_bytes} bytes "
            f"({audio_format.encoding}, {audio_format.channel_count} channel(s))",
            reason="PARTIAL_FRAME",
        )
    if frames * 1_000 > limit_ms * audio_format.sample_rate_hz:
        raise InvalidRequest(
            "audio.data",
            f"{frames * 1_000 // audio_format.sample_rate_hz} ms",
            f"at most {limit_ms} ms of audio a chunk",
            reason="CHUNK_TOO_LONG",
        )
    return frames


def _resampler(audio_format: AudioFormat) -> soxr.ResampleStream | None:
    rate = audio_format.sample_rate_hz
    if rate == SAMPLE_RATE_HZ:
        return None
    # Upwards soxr's variable-rate filter holds back 30 ms where the others hold back 115 ms;
    # downwards it is late by 2.4 ms and eight times as dear, so there the usual one serves.
    upwards = rate < SAMPLE_RATE_HZ
    return soxr.ResampleStream(
        rate, SAMPLE_RATE_HZ, 1, dtype="float32", quality="HQ" if upwards else "MQ", vr=upwards
    )
