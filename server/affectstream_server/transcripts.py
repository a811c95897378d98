"""Transcripts: what was said, kept until the utterance that it belongs to has its final, and no longer."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.channel import Channel
from affectstream_server.no_effect import NoEffect
from affectstream_server.timeline import from_rate, ms_of_samples, samples_of_ms
from affectstream_server.utterance import Utterance

MOST_SEGMENTS: Final = 64
"""Of a session that wait for their utterances; the oldest goes first. 256 KiB of text at most."""
_REMEMBERED: Final = 16
"""Finals of a session that a late transcript is told of."""
_NEAR_END: Final = samples_of_ms(300)
"""Recognisers end a segment a little before or after the voice does."""


class Bounds(Protocol):
    """A stretch of a session's timeline, in samples at 16 kHz."""

    @property
    def audio_start(self) -> int: ...
    @property
    def audio_end(self) -> int: ...


@dataclass(slots=True)
class _Segment:
    channel: int
    start: int
    end: int
    text: str
    used: bool = False


@dataclass(frozen=True, slots=True)
class _Said:
    """An utterance that ended."""

    utterance_id: str
    channel: int
    bounds: Bounds


class Transcripts:
    """The words of one session."""

    def __init__(self, warn: Callable[[str, str, str], None], wait_ms: int) -> None:
        """``warn`` is told code, message and value of what turns out to be of no use.

        ``wait_ms``: how long a final may wait for its words.
        """
        self._warn = warn
        self._wait_s = wait_ms / 1_000
        self._segments: deque[_Segment] = deque()
        self._ended: dict[str, _Said] = {}
        self._said: deque[_Said] = deque(maxlen=_REMEMBERED)
        self._news = asyncio.Event()
        self._over = False

    def __len__(self) -> int:
        return len(self._segments)

    def take(
        self, transcript: pb.Transcript, channels: Sequence[Channel], rate_hz: int, farthest: int
    ) -> None:
        """Keep the words of a span for its utterance on these channels. Raises `NoEffect`.

        ``farthest`` is the last position that may be spoken of, at ``rate_hz``. What is not final is passed
        over: it would be replaced.
        """
        size = len(transcript.text.encode())
        if size > LIMITS.transcript_bytes:
            raise NoEffect(
                "TRANSCRIPT_TOO_LONG", "its text is too long", f"{size} bytes", LIMITS.transcript_bytes
            )
        start, end = transcript.start_samples, transcript.end_samples
        if not 0 <= start < end <= farthest:
            raise NoEffect(
                "POSITION_OUT_OF_RANGE", "its span is out of range", f"{start} to {end}", f"0 to {farthest}"
            )
        if self._over or not transcript.is_final or not transcript.text.strip():
            return
        problems = []
        for channel in channels:
            segment = _Segment(
                channel.index, from_rate(start, rate_hz), from_rate(end, rate_hz), transcript.text
            )
            try:
                self._place(segment, channel)
            except NoEffect as problem:
                problems.append(problem)
        if len(problems) == len(channels):
            raise problems[0]

    def of(self, utterance: Utterance) -> str:
        """What was said in an utterance, in order; empty: nothing is known. Its final is sent now."""
        mine = [
            segment for segment in self._segments if _belongs(segment, utterance.channel, utterance.bounds)
        ]
        for segment in mine:
            segment.used = True
        self._ended.pop(utterance.utterance_id, None)
        self._said.append(_Said(utterance.utterance_id, utterance.channel, utterance.bounds))
        self._forget_before(utterance.channel, utterance.bounds.audio_end)
        return " ".join(segment.text for segment in sorted(mine, key=lambda segment: segment.start))

    def ended(self, utterance: Utterance) -> None:
        """An utterance ended; `of` is asked for it when its score came."""
        said = _Said(utterance.utterance_id, utterance.channel, utterance.bounds)
        self._ended[utterance.utterance_id] = said

    async def wait_for(self, utterance: Utterance) -> None:
        """Return when the words of an utterance came, to about its end, or when its wait is over."""
        try:
            async with asyncio.timeout(self._wait_s):
                while not self._over and not self._covers(utterance):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    def end(self) -> None:
        """No more transcripts can come: nothing is waited for."""
        self._over = True
        self._news.set()

    def clear(self) -> None:
        """Consent was withdrawn: forget all words, and take no more."""
        self._segments.clear()
        self.end()

    def close(self) -> None:
        """The session is over: say what words were of no utterance."""
        for channel in {segment.channel for segment in self._segments}:
            self._forget_before(channel, samples_of_ms(LIMITS.session_ms))
        self.end()

    def _place(self, segment: _Segment, channel: Channel) -> None:
        for said in reversed(self._said):
            if _belongs(segment, said.channel, said.bounds):
                raise NoEffect(
                    "TRANSCRIPT_TOO_LATE", "the final of its utterance was sent already", said.utterance_id
                )
        if segment.end <= channel.settled_until and not self._is_awaited(segment):
            raise NoEffect("TRANSCRIPT_WITHOUT_UTTERANCE", "no utterance was heard there", _span(segment))
        if len(self._segments) >= MOST_SEGMENTS:
            oldest = self._segments.popleft()
            if not oldest.used:
                self._complain(oldest, f"more than {MOST_SEGMENTS} transcripts wait")
        self._segments.append(segment)
        self._news.set()

    def _is_awaited(self, segment: _Segment) -> bool:
        """It is of an utterance that ended and has no final yet."""
        return any(_belongs(segment, one.channel, one.bounds) for one in self._ended.values())

    def _covers(self, utterance: Utterance) -> bool:
        enough = utterance.bounds.speech_end - _NEAR_END
        return any(
            segment.end >= enough and _belongs(segment, utterance.channel, utterance.bounds)
            for segment in self._segments
        )

    def _forget_before(self, channel: int, until: int) -> None:
        kept: deque[_Segment] = deque()
        for segment in self._segments:
            if segment.channel != channel or segment.end > until:
                kept.append(segment)
            elif not segment.used:
                self._complain(segment, "no utterance was heard there")
        self._segments = kept

    def _complain(self, segment: _Segment, why: str) -> None:
        self._warn("TRANSCRIPT_WITHOUT_UTTERANCE", f"a transcript is dropped: {why}", _span(segment))


def _belongs(segment: _Segment, channel: int, bounds: Bounds) -> bool:
    """They share at least half of the shorter."""
    if segment.channel != channel:
        return False
    shared = min(segment.end, bounds.audio_end) - max(segment.start, bounds.audio_start)
    shorter = min(segment.end - segment.start, bounds.audio_end - bounds.audio_start)
    return shared > 0 and 2 * shared >= shorter


def _span(segment: _Segment) -> str:
    return f"{ms_of_samples(segment.start):.0f} to {ms_of_samples(segment.end):.0f} ms"
