"""Audio of every encoding, from bytes to 16-bit samples at 16 kHz.

An input is a byte for the encoding, one for the rate, one for channels and the length of chunks, one that
says whether Ogg pages get the checksum they must have (else few changes would pass it), and audio.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from affectstream_server.errors import ServiceError
from affectstream_server.stages.decode import AudioFormat, Decoder, Encoding
from affectstream_server.stages.libopus import MAX_CHANNELS, RATES_HZ
from affectstream_server.stages.ogg import CAPTURE, checksum
from affectstream_server.stages.opus import Corrupt, Hole, Part, unpacker
from tests.fuzz.oracle import Found, check_refusal, check_text, watched
from tests.fuzz.target import Target, stateless
from tests.support.opus import ogg_opus, packets

ENCODINGS: tuple[Encoding, ...] = ("LINEAR16", "FLOAT32", "MULAW", "ALAW", "OGG_OPUS", "OPUS_PACKETS")
PCM_RATES_HZ = (8_000, 11_025, 16_000, 22_050, 44_100, 48_000)
CHUNKS_BYTES = (7, 64, 255, 640, 4_096, 65_536)


def run(data: bytes) -> None:
    """One stream of audio to its end, or to its refusal."""
    if len(data) < 4:
        return
    encoding = ENCODINGS[data[0] % len(ENCODINGS)]
    compressed = encoding in ("OGG_OPUS", "OPUS_PACKETS")
    rates = RATES_HZ if compressed else PCM_RATES_HZ
    channels = 1 + data[2] % 16 % (MAX_CHANNELS if compressed else 8)
    form = AudioFormat(encoding, rates[data[1] % len(rates)], channels)
    size = CHUNKS_BYTES[data[2] // 16 % len(CHUNKS_BYTES)]
    audio = sealed(data[4:]) if encoding == "OGG_OPUS" and data[3] % 2 else data[4:]
    with watched():
        try:
            _decode(form, list(_chunks(audio, size, by_length=encoding == "OPUS_PACKETS")))
        except ServiceError as error:
            check_refusal(error, data)


def _decode(form: AudioFormat, chunks: list[bytes]) -> None:
    unpack, decoder = unpacker(form), Decoder(form, form.channel_count - 1)
    heard = frames = 0
    for chunk in [*chunks, None]:
        parts: Iterable[Part] = () if chunk is None else (chunk,)
        if unpack is not None:
            parts = unpack.finish() if chunk is None else unpack.unpack(chunk)
        for part in parts:
            if isinstance(part, Corrupt):
                check_text(part.cause, b"")
            elif isinstance(part, Hole):
                if part.frames < 0:
                    raise Found(f"a hole of {part.frames} frames")
                decoder.restart()
            else:
                samples = decoder.decode(part)
                if samples.dtype != np.int16 or samples.ndim != 1:
                    raise Found(f"{samples.dtype} of shape {samples.shape}")
                heard += len(samples)
                frames += len(part) // form.frame_bytes
    heard += len(decoder.finish())
    longest = frames * 16_000 / form.sample_rate_hz
    if heard > longest + 1_600:
        raise Found(f"{heard} samples out of {frames} frames at {form.sample_rate_hz} Hz")


def _chunks(audio: bytes, size: int, *, by_length: bool) -> list[bytes]:
    """Cut at equal lengths, or, as packets come, at the length that stands before each."""
    if not by_length:
        return [audio[start : start + size] for start in range(0, len(audio), size)]
    chunks, at = [], 0
    while at < len(audio):
        end = at + 1 + audio[at]
        chunks.append(audio[at + 1 : end])
        at = end
    return chunks


def sealed(audio: bytes) -> bytes:
    """Every page with the right checksum, wherever one begins."""
    out, at = bytearray(audio), audio.find(CAPTURE)
    while at >= 0 and len(out) >= at + 27:
        body = at + 27 + out[at + 26]
        end = body + sum(out[at + 27 : body])
        page = bytes(out[at:end])
        if len(page) >= 27:
            out[at + 22 : at + 26] = checksum(page)
        at = out.find(CAPTURE, at + 4)
    return bytes(out)


def _seeds() -> dict[str, bytes]:
    tone = (8_000 * np.sin(np.arange(3_200) / 9)).astype(np.int16)
    ogg = ogg_opus(tone)
    by_length = b"".join(bytes([len(p)]) + p for p in packets(tone) if len(p) < 256)
    return {
        "linear16": bytes([0, 2, 0x30, 0]) + tone[:640].tobytes(),
        "linear16-stereo-48k": bytes([0, 5, 0x31, 0]) + tone[:640].tobytes(),
        "float32": bytes([1, 0, 0x30, 0]) + (tone[:320] / np.float32(32_768)).astype("<f4").tobytes(),
        "mulaw": bytes([2, 0, 0x10, 0]) + bytes(range(256)),
        "alaw": bytes([3, 0, 0x10, 0]) + bytes(range(256)),
        "ogg": bytes([4, 2, 0x50, 1]) + ogg,
        "ogg-cut-small": bytes([4, 0, 0x10, 1]) + ogg,
        "packets": bytes([5, 2, 0, 0]) + by_length,
    }


TARGET = Target(
    opened=stateless(run),
    seeds=_seeds(),
    most_bytes=16 * 1024,
    words=("OggS", "OpusHead", "OpusTags"),
)
