"""Unpack: Opus in Ogg (RFC 7845) or packet by packet (RFC 6716) into PCM that `decode.Decoder` takes.

What comes out is `AudioFormat.pcm`: 32-bit floats at 48 kHz, interleaved. Time never shifts: what is
damaged or missing comes out as silence, and where more than a second is missing as a hole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from affectstream.contract import LIMITS
from affectstream_server.errors import InvalidRequest
from affectstream_server.stages.decode import OPUS_RATE_HZ, AudioFormat
from affectstream_server.stages.libopus import (
    HEAD,
    LONGEST_PACKET,
    MAX_CHANNELS,
    Audio,
    Codec,
    packet_samples,
)
from affectstream_server.stages.ogg import Page, PageReader

_USUAL_PACKET: Final = 960
_MOST_TAG_BYTES: Final = 128 * 1024


@dataclass(frozen=True, slots=True)
class Corrupt:
    """From here on something is damaged or missing; silence stands for it."""

    cause: str


@dataclass(frozen=True, slots=True)
class Hole:
    """So many sample frames at the declared rate are missing here."""

    frames: int


Part = bytes | Hole | Corrupt


class Unpacker(Protocol):
    """Turns chunks into PCM, at most 1 s in a part."""

    def unpack(self, data: bytes) -> Iterator[Part]:
        """What a chunk holds, in order. Raises `InvalidRequest` where it is no Opus at all."""
        ...

    def finish(self) -> Iterator[Part]:
        """What is left after the last chunk."""
        ...


def unpacker(audio_format: AudioFormat, *, limit_ms: int | None = LIMITS.chunk_ms) -> Unpacker | None:
    """The unpacker of a format; None for PCM. ``limit_ms``: most audio in a chunk; None: any."""
    if audio_format.encoding == "OGG_OPUS":
        return OggOpus(audio_format, limit_ms)
    return OpusPackets(audio_format) if audio_format.encoding == "OPUS_PACKETS" else None


class _Output:
    """Audio in parts of whole frames at the declared rate, at most 1 s each."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._step = OPUS_RATE_HZ // audio_format.sample_rate_hz
        self._channels = audio_format.channel_count
        self._rest: Audio = self.silence(0)
        self.skip = 0
        """Samples at 48 kHz that are still to be left out."""

    def silence(self, samples: int) -> Audio:
        return np.zeros((samples, self._channels), np.float32)

    def put(self, *parts: Audio) -> Iterator[bytes]:
        audio = np.concatenate([self._rest, *parts])
        skipped = min(self.skip, len(audio))
        self.skip -= skipped
        whole = len(audio) - (len(audio) - skipped) % self._step
        self._rest = audio[whole:]
        for start in range(skipped, whole, OPUS_RATE_HZ):
            yield audio[start : min(whole, start + OPUS_RATE_HZ)].tobytes()

    def put_nothing(self, samples: int) -> Iterator[Part]:
        """Silence, or a hole where it is longer than a second."""
        if samples > OPUS_RATE_HZ:
            skipped = min(self.skip, samples)
            self.skip -= skipped
            frames, samples = divmod(samples - skipped, self._step)
            yield Hole(frames)
        yield from self.put(self.silence(samples))

    def finish(self) -> Iterator[bytes]:
        if len(self._rest):
            yield from self.put(self.silence(self._step - len(self._rest)))


class OpusPackets:
    """One raw packet a chunk."""

    def __init__(self, audio_format: AudioFormat) -> None:
        self._codec = Codec(audio_format.channel_count)
        self._output = _Output(audio_format)
        self._last = 0
        self._damaged = False

    def unpack(self, data: bytes) -> Iterator[Part]:
        audio = self._codec.decode(data)
        if audio is None and not self._last:
            raise _not_opus("one Opus packet (RFC 6716) in each chunk")
        if audio is None and not self._damaged:
            yield Corrupt("a damaged Opus packet")
        self._damaged = audio is None
        audio = self._output.silence(self._last) if audio is None else audio
        self._last = len(audio)
        yield from self._output.put(audio)

    def finish(self) -> Iterator[Part]:
        return iter(())


class OggOpus:
    """An Ogg stream with Opus, cut anywhere. Pages of other streams beside it are passed over."""

    def __init__(self, audio_format: AudioFormat, limit_ms: int | None) -> None:
        self._channels = audio_format.channel_count
        # Encoders fill a page for a second and end it with the packet that passes it.
        self._limit = None if limit_ms is None else limit_ms * OPUS_RATE_HZ // 1_000 + LONGEST_PACKET
        self._reader = PageReader()
        self._output = _Output(audio_format)
        self._codec: Codec | None = None
        self._serial: int | None = None
        self._next_sequence = 0
        self._skipped_bytes = 0
        self._partial: bytes | None = None
        self._position: int | None = None
        self._usual = _USUAL_PACKET

    def unpack(self, data: bytes) -> Iterator[Part]:
        taken = 0
        for page in self._reader.feed(data):
            if page.begins:
                if page.packets and page.packets[0].startswith(b"OpusHead"):
                    yield from self._output.finish()
                    self._begin(page)
                continue
            if self._codec is None:
                raise _not_opus()
            if page.serial != self._serial:
                continue
            lost = self._is_lost(page)
            packets = self._packets(page, lost=lost)
            lengths = [packet_samples(packet) or self._usual for packet in packets]
            taken += sum(lengths)
            if self._limit is not None and taken > self._limit:
                raise InvalidRequest(
                    "audio.data",
                    f"{taken * 1_000 // OPUS_RATE_HZ} ms",
                    f"at most {LIMITS.chunk_ms} ms of audio a chunk; send one Ogg page a chunk",
                    reason="CHUNK_TOO_LONG",
                )
            if packets:
                yield from self._hear(page, packets, lengths, lost=lost)
            elif lost:
                yield Corrupt("a damaged or missing Ogg page")
            if page.ends:
                yield from self._output.finish()
                self._serial = None
        if self._codec is None and self._reader.skipped_bytes:
            raise _not_opus()

    def finish(self) -> Iterator[Part]:
        if self._reader.waiting_bytes:
            if self._codec is None:
                raise _not_opus()
            yield Corrupt("the stream ends within an Ogg page")
        yield from self._output.finish()

    def _begin(self, page: Page) -> None:
        head = page.packets[0]
        if len(head) < HEAD.size or head[8] >> 4:
            raise _not_opus()
        _, _, channels, pre_skip, _, gain, family = HEAD.unpack_from(head)
        if channels != self._channels or (family and channels > MAX_CHANNELS):
            raise InvalidRequest(
                "config.audio.channel_count",
                self._channels,
                f"{channels}, as the stream's own head says",
                reason="CHANNEL_MISMATCH",
            )
        self._codec = Codec(channels, gain)
        self._output.skip = pre_skip
        self._serial, self._next_sequence = page.serial, page.sequence + 1
        self._skipped_bytes = self._reader.skipped_bytes
        self._partial = self._position = None

    def _is_lost(self, page: Page) -> bool:
        """Something between the page before and this one did not come, or was damaged."""
        lost = page.sequence != self._next_sequence or self._reader.skipped_bytes > self._skipped_bytes
        self._next_sequence = (page.sequence + 1) % 2**32
        self._skipped_bytes = self._reader.skipped_bytes
        return lost

    def _packets(self, page: Page, *, lost: bool) -> list[bytes]:
        """The audio packets that end on the page and came whole."""
        parts = [*page.packets] if page.rest is None else [*page.packets, page.rest]
        if page.continues and parts:
            if self._partial is None or lost:
                parts.pop(0)
            else:
                parts[0] = self._partial + parts[0]
        self._partial = parts.pop() if page.rest is not None and parts else None
        if self._partial is not None and len(self._partial) > _MOST_TAG_BYTES:
            self._partial = None
        return parts if self._position is not None else [p for p in parts if not p.startswith(b"OpusTags")]

    def _hear(self, page: Page, packets: list[bytes], lengths: list[int], *, lost: bool) -> Iterator[Part]:
        assert self._codec is not None  # noqa: S101 - the caller looked
        left = sum(lengths)
        missing = self._missing(page, left, lost=lost)
        if lost or missing > 0:
            yield Corrupt("a damaged or missing Ogg page")
            yield from self._output.put_nothing(max(0, missing))
        elif missing < 0:
            left = max(0, left + missing)
        heard: list[Audio] = []
        damaged = False
        for packet, length in zip(packets, lengths, strict=True):
            audio = self._codec.decode(packet)
            if audio is None and not damaged:
                yield from self._output.put(*heard)
                heard = []
                yield Corrupt("a damaged Opus packet")
            damaged = audio is None
            self._usual = self._usual if damaged else length
            heard.append((self._output.silence(length) if audio is None else audio)[:left])
            left -= len(heard[-1])
        yield from self._output.put(*heard)

    def _missing(self, page: Page, length: int, *, lost: bool) -> int:
        """Samples between the audio before and this page's; below 0: so many of its last are too much."""
        if self._position is None:
            self._position = 0 if lost or page.ends else max(0, page.granule - length)
        missing = page.granule - length - self._position if page.granule >= 0 else 0
        if missing > LIMITS.session_ms * OPUS_RATE_HZ // 1_000 or (missing < 0 and not page.ends):
            missing = 0
            self._position = page.granule
        else:
            self._position += length + max(0, missing)
        return missing


def _not_opus(expected: str = "an Ogg stream with Opus (RFC 7845)") -> InvalidRequest:
    return InvalidRequest("audio.data", "something else", expected, reason="NOT_OPUS")
