"""Hearing: from a stream's chunks to its channels, each sample at its place on the session's timeline.

Audio that was heard before is dropped, audio that is missing becomes a gap, and time never shifts.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Protocol

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.announce import gap
from affectstream_server.channel import Channel
from affectstream_server.errors import InvalidRequest, LimitReached
from affectstream_server.stages.decode import AudioFormat, Decoder, check_chunk
from affectstream_server.stages.opus import Corrupt, Hole, Part, unpacker
from affectstream_server.timeline import from_rate, to_rate


class Host(Protocol):
    """What hearing asks of its session."""

    @property
    def channels(self) -> Sequence[Channel]: ...

    def heard(self) -> None:
        """A chunk was heard."""
        ...

    def end_before_hole(self, channel: Channel) -> None:
        """No audio follows what the channel heard: decide on it, and end the open utterance."""
        ...

    def forget(self, channel: Channel) -> None:
        """What the channel hears next does not follow what it heard."""
        ...

    def emit(self, event: pb.SessionEvent) -> None: ...

    def warn(self, code: str, message: str, *, field: str = "", value: object = "") -> None: ...

    def missing_until(self, frames: int) -> None:
        """Audio up to ``frames`` will not come."""
        ...


class Hearing:
    """The audio of one session, from whichever stream it comes."""

    def __init__(self, host: Host, audio_format: AudioFormat) -> None:
        self._host = host
        self.format = audio_format
        self._unpacker = unpacker(audio_format)
        self._next = 0
        """After the newest audio of this stream: there goes a chunk without a position."""
        self.frames = 0
        """Position after the newest audio, in samples at the declared rate."""
        self.empty_chunks = 0
        self.paused = False
        """The caller said that no audio will come."""
        self.ended = False
        """The caller said that all audio was sent."""
        self.heard_at = time.monotonic()
        """When audio came last."""

    @property
    def longest_frames(self) -> int:
        """Where a session's timeline ends, in samples at the declared rate."""
        return LIMITS.session_ms * self.format.sample_rate_hz // 1_000

    def take(self, chunk: pb.AudioChunk) -> None:
        """Hear a chunk. Raises `InvalidRequest`, or `LimitReached` at the end of the timeline."""
        data = chunk.data
        if not data:
            self.empty_chunks += 1
            return
        if self.paused:
            self._host.warn("AUDIO_WHILE_PAUSED", "audio came while it was paused; it is taken as resumed")
            self.paused = False
        now = self.heard_at = time.monotonic()
        start = self._checked_start(chunk) if chunk.HasField("start_samples") else self._next
        if self._unpacker is None:
            self._hear(data, start, now)
            return
        if chunk.HasField("start_samples") and self.format.encoding == "OGG_OPUS":
            raise InvalidRequest("audio.start_samples", start, "unset with OGG_OPUS: pages carry positions")
        self._hear_parts(self._unpacker.unpack(data), start)

    def finish(self) -> None:
        """All audio was sent: hear what is still inside."""
        if self._unpacker is not None:
            self._hear_parts(self._unpacker.finish(), self._next)
        now = time.monotonic()
        for channel in self._host.channels:
            channel.end_audio(now)
        self.ended = True

    def skip_to(self, frames: int) -> None:
        """Audio from here to ``frames`` is missing: it becomes a gap."""
        rate_hz = self.format.sample_rate_hz
        position, start = from_rate(frames, rate_hz), from_rate(self.frames, rate_hz)
        now = time.monotonic()
        for channel in self._host.channels:
            channel.end_audio(now)
        self._host.missing_until(self.frames)
        for channel in self._host.channels:
            self._host.end_before_hole(channel)
            channel.skip_to(max(position, channel.heard))
            self._host.forget(channel)
        self.frames = frames
        self._next = max(self._next, frames)
        if position > start:
            self._host.emit(gap(start, position))

    def go_on(self, audio_format: AudioFormat, start: int) -> None:
        """Another stream brings the audio, from ``start`` on, at its rate."""
        if audio_format != self.format:
            for channel in self._host.channels:
                channel.change_decoder(Decoder(audio_format, channel.index))
            heard = max((channel.heard for channel in self._host.channels), default=0)
            self.frames = to_rate(heard, audio_format.sample_rate_hz)
            self.format = audio_format
        self._unpacker = unpacker(audio_format)
        self._next = start
        self.heard_at = time.monotonic()
        if start > self.frames and not self.ended:
            self.skip_to(start)

    def _checked_start(self, chunk: pb.AudioChunk) -> int:
        if not 0 <= chunk.start_samples <= self.longest_frames:
            raise InvalidRequest("audio.start_samples", chunk.start_samples, f"0 to {self.longest_frames}")
        return chunk.start_samples

    def _hear_parts(self, parts: Iterable[Part], start: int) -> None:
        """What compressed audio was unpacked to."""
        for part in parts:
            if isinstance(part, Hole):
                start += part.frames
                self._next = max(self._next, start)
                if start > self.frames:
                    self.skip_to(start)
            elif isinstance(part, Corrupt):
                self._host.warn(
                    "AUDIO_CORRUPT",
                    f"{part.cause} at sample {start}; silence stands for it",
                    field="audio.data",
                    value=f"sample {start}",
                )
            else:
                self._hear(part, start, self.heard_at)
                start += len(part) // self.format.frame_bytes

    def _hear(self, data: bytes, start: int, now: float) -> None:
        frame_bytes = self.format.frame_bytes
        end = start + len(data) // frame_bytes
        self._next = max(self._next, end)
        if start < self.frames:
            if self._unpacker is None:  # what is heard is checked as it is decoded
                check_chunk(data, self.format, LIMITS.chunk_ms)
            data = data[(self.frames - start) * frame_bytes :]
            if not data:
                return
        if self.ended:
            raise InvalidRequest(
                "request", "audio", "nothing after control.end_of_audio", reason="MESSAGE_AFTER_END"
            )
        if start > self.frames:
            self.skip_to(start)
        for channel in self._host.channels:
            channel.feed(data, now)
        self.frames += len(data) // frame_bytes
        if self.frames > self.longest_frames:
            raise LimitReached(
                "the session's audio is at its limit; start a new session",
                reason="SESSION_AGE",
                field="audio",
                value=f"{self.frames} samples",
                limit=f"{LIMITS.session_ms} ms",
            )
        self._host.heard()
