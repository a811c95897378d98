"""Samples to the bytes of the wire, and bytes to messages of a size that the wire takes."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from affectstream.config import AudioFormat
from affectstream.contract import LIMITS
from affectstream.enums import AudioEncoding, name_of
from affectstream.errors import InvalidRequest

if TYPE_CHECKING:
    import numpy.typing as npt

    Pcm: TypeAlias = bytes | bytearray | memoryview | npt.NDArray[Any]

# The request's own fields around the bytes: two tags and lengths, and an offset.
_ENVELOPE_BYTES: Final = 64

_DTYPES: Final = {
    AudioEncoding.LINEAR16: "<i2",
    AudioEncoding.FLOAT32: "<f4",
    AudioEncoding.MULAW: "u1",
    AudioEncoding.ALAW: "u1",
}


def to_bytes(pcm: Pcm, audio: AudioFormat) -> bytes:
    """The bytes of some audio, checked against the declared format.

    Args:
        pcm: Bytes in the declared encoding, or an array of shape (frames,) or (frames, channels):
            int16 for LINEAR16, float32 or float64 in -1..1 for FLOAT32, uint8 codes for MULAW and ALAW.
        audio: What the stream declared.

    Raises:
        InvalidRequest: not whole frames, or an array of another type or shape.
    """
    data = bytes(pcm) if isinstance(pcm, bytes | bytearray | memoryview) else _array_bytes(pcm, audio)
    frame_bytes = audio.frame_bytes
    if frame_bytes is not None and len(data) % frame_bytes:
        raise InvalidRequest(
            f"audio.data holds {len(data)} bytes, which is not a multiple of {frame_bytes}, "
            f"the bytes of one sample of {_channels(audio)}",
            reason="PARTIAL_FRAME",
            field="audio.data",
            value=str(len(data)),
            limit=f"a multiple of {frame_bytes} bytes",
        )
    return data


def chunks(data: bytes, audio: AudioFormat) -> Iterator[bytes]:
    """`data` in order, in pieces of at most 1 s and 64 KiB, each of whole frames.

    Ogg is cut before each of its pages, of which a server takes one a chunk; a raw Opus packet is whole.
    """
    frame_bytes = audio.frame_bytes
    if frame_bytes is None:
        yield from _pages(data) if audio.encoding == AudioEncoding.OGG_OPUS else (data,)
        return
    frames = min(
        audio.sample_rate_hz * LIMITS.chunk_ms // 1000,
        (LIMITS.message_bytes - _ENVELOPE_BYTES) // frame_bytes,
    )
    step = max(frames, 1) * frame_bytes
    for start in range(0, len(data), step):
        yield data[start : start + step]


def _pages(data: bytes) -> Iterator[bytes]:
    """`data` cut before every capture pattern. One inside a page does no harm: Ogg may be cut anywhere."""
    start = 0
    while start < len(data):
        end = data.find(b"OggS", start + 1)
        longest = start + LIMITS.message_bytes - _ENVELOPE_BYTES
        end = min(len(data) if end < 0 else end, longest)
        yield data[start:end]
        start = end


def _array_bytes(samples: npt.NDArray[Any], audio: AudioFormat) -> bytes:
    import numpy as np

    if not isinstance(samples, np.ndarray):
        raise TypeError(f"pcm must be bytes or a numpy array, not {type(samples).__name__}")
    wanted = _DTYPES.get(AudioEncoding(audio.encoding)) if audio.frame_bytes else None
    fits = (
        wanted is not None
        and samples.dtype.kind == np.dtype(wanted).kind
        and (samples.dtype.kind == "f" or samples.dtype.itemsize == np.dtype(wanted).itemsize)
    )
    if not fits or wanted is None:
        raise InvalidRequest(
            f"an array of {samples.dtype} cannot be sent as {name_of(audio.encoding)}",
            reason="ARRAY_TYPE",
            field="audio.data",
            value=str(samples.dtype),
            limit=np.dtype(wanted).name if wanted else "bytes",
        )
    if samples.ndim not in (1, 2) or (samples.ndim == 2 and samples.shape[1] != audio.channel_count):
        raise InvalidRequest(
            f"an array of shape {samples.shape} does not hold {_channels(audio)}",
            reason="ARRAY_SHAPE",
            field="audio.data",
            value=str(samples.shape),
            limit=f"(frames, {audio.channel_count})",
        )
    return samples.astype(wanted, copy=False).tobytes()


def _channels(audio: AudioFormat) -> str:
    count = "1 channel" if audio.channel_count == 1 else f"{audio.channel_count} channels"
    return f"{count} as {name_of(audio.encoding)}"
