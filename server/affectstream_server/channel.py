"""One analysed channel of a session: its audio, its place in the detector, its utterances."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.audio_buffer import PART_SAMPLES, AudioBuffer
from affectstream_server.stages.caller import CallerSegmenter
from affectstream_server.stages.decode import Decoder, Samples
from affectstream_server.stages.detect import CONTEXT_SAMPLES
from affectstream_server.stages.segment import Boundary, Ended, Segmenter, Trigger
from affectstream_server.utterance import Opened, Utterance

Decided = Sequence[Opened | Utterance]


class Channel:
    """Decoded audio waits here for the detector, and from there for the endpoint.

    ``slot`` is the channel's place in the detector; None where the caller detects speech. All positions
    are samples at 16 kHz.
    """

    def __init__(
        self,
        index: int,
        slot: int | None,
        decoder: Decoder,
        segmenter: Segmenter | CallerSegmenter,
        id_prefix: str,
    ) -> None:
        self.index = index
        self.slot = slot
        self.segmenter = segmenter
        self._decoder = decoder
        self._id_prefix = id_prefix
        self._buffer = AudioBuffer()
        self._tidy_at = 0
        self._count = 0
        self._open_id = ""
        self._continues = ""
        self._barge_in = False
        self._arrived_at = 0.0
        self._ended = False
        self.agent_speaks = False
        self.queued = False
        """It waits for the detector's next batch."""
        self.fed = 0
        """Samples that came; gaps do not count."""
        self.scored_until = 0
        """Where the last provisional or speculative score of the open utterance ended."""

    @property
    def heard(self) -> int:
        """Position after the newest decoded sample."""
        return self._buffer.end

    @property
    def kept_from(self) -> int:
        """Position of the oldest sample that is still kept."""
        return self._buffer.start

    @property
    def undecided(self) -> int:
        """Samples decoded and not yet looked at by the detector."""
        return self._buffer.end - self.segmenter.position

    @property
    def has_block(self) -> bool:
        """The detector has something to do: a whole block, or the rest after the end of audio."""
        waiting = self._buffer.end - self.segmenter.position
        return waiting >= BLOCK_SAMPLES or (self._ended and waiting > 0)

    @property
    def blocks(self) -> int:
        """How many of them it has."""
        waiting = self._buffer.end - self.segmenter.position
        return -(-waiting // BLOCK_SAMPLES) if self._ended else waiting // BLOCK_SAMPLES

    @property
    def open_utterance_id(self) -> str:
        """Id of the utterance that is open; empty if none is."""
        return self._open_id

    @property
    def settled_until(self) -> int:
        """No utterance that is open or still to be found begins before this position."""
        return min(self.segmenter.keep_from, self.heard)

    @property
    def begun_until(self) -> int:
        """As `settled_until`, but a caller's start is not waited for: a turn would wait as long."""
        if isinstance(self.segmenter, CallerSegmenter) and not self.segmenter.is_open:
            return self.heard
        return self.settled_until

    def feed(self, data: bytes, now: float) -> None:
        """Decode a chunk. ``now`` is its arrival, `time.monotonic`. Raises `InvalidRequest`."""
        samples = self._decoder.decode(data)
        self._buffer.append(samples)
        self.fed += len(samples)
        self._arrived_at = now

    def end_audio(self, now: float) -> None:
        """No more audio: what the resampler holds back, and the last part of a block, count too."""
        self._buffer.append(self._decoder.finish())
        self._arrived_at = now
        self._ended = True

    def advance(self, until: int | None) -> Decided:
        """Where the caller detects: go on to ``until``, at most to what was heard. Cuts what is too long."""
        segmenter = self.segmenter
        assert isinstance(segmenter, CallerSegmenter)  # noqa: S101 - only such channels are told
        position = self.heard if until is None else min(until, self.heard)
        decided: list[Opened | Utterance] = []
        while boundaries := segmenter.advance(max(position, segmenter.position)):
            decided += [self._named(boundary, time.monotonic()) for boundary in boundaries]
        self._buffer.drop_before(segmenter.keep_from)
        return decided

    def change_decoder(self, decoder: Decoder) -> None:
        """What comes next is of another format, and follows what came before."""
        if not self._ended:
            self._buffer.append(self._decoder.finish())
        self._decoder = decoder

    def skip_to(self, position: int) -> None:
        """Audio up to ``position`` does not exist. Everything before was decided and no utterance is open."""
        self._ended = False
        self._decoder.restart()
        self._buffer.jump(position)
        self.segmenter.jump(position)

    def window(self, blocks: int = 1) -> Samples:
        """The detector's next input: int16 ``[64 + 512 blocks]``."""
        position = self.segmenter.position
        start, end = position - CONTEXT_SAMPLES, position + BLOCK_SAMPLES * blocks
        if start >= self._buffer.start and end <= self._buffer.end:
            return self._buffer.view(start, end)
        first, last = max(start, self._buffer.start), min(end, self._buffer.end)
        window = np.zeros(end - start, np.int16)
        window[first - start : last - start] = self._buffer.view(first, last)
        return window

    def decide(self, probability: float, now: float) -> Decided:
        """Take the probability of the window's block; returns the utterances it began or ended."""
        segmenter = self.segmenter
        assert isinstance(segmenter, Segmenter)  # noqa: S101 - only such channels are looked at
        boundaries = segmenter.push(probability)
        decided = [self._named(boundary, now) for boundary in boundaries] if boundaries else ()
        if segmenter.position >= self._tidy_at:
            self._tidy_at = segmenter.position + PART_SAMPLES
            self._buffer.drop_before(min(segmenter.keep_from, segmenter.position - CONTEXT_SAMPLES))
        return decided

    def free(self) -> None:
        """The session is over: its audio is not needed any more."""
        self._buffer.free()

    def begin_utterance(self, start: int) -> Opened:
        """The caller heard speech begin. Raises `ValueError` with the earliest start that is possible."""
        assert isinstance(self.segmenter, CallerSegmenter)  # noqa: S101 - only such channels are told
        if start < self.kept_from:
            raise ValueError(self.kept_from)
        return self._opened(self.segmenter.begin(start))

    def close_utterance(self, trigger: Trigger, end: int | None = None) -> Utterance | None:
        """End the open utterance, at ``end`` or with the audio heard so far; None if none is open."""
        ended = self.segmenter.finish(self.heard if end is None else end, trigger)
        return None if ended is None else self._closed(ended, None)

    def cut(self, bounds: Ended) -> Utterance:
        """The open utterance as it would be with these bounds; it stays open."""
        return self._utterance(bounds, None)

    def _named(self, boundary: Boundary, now: float) -> Opened | Utterance:
        if isinstance(boundary, Ended):
            return self._closed(boundary, (now - self._arrived_at) * 1_000)
        return self._opened(boundary)

    def _opened(self, bounds: Boundary) -> Opened:
        assert not isinstance(bounds, Ended)  # noqa: S101 - the callers looked
        self._count += 1
        self._continues = self._continues if bounds.continues else ""
        self._open_id = f"{self._id_prefix}.{self.index}.{self._count}"
        self._barge_in = self.agent_speaks
        self.scored_until = bounds.audio_start
        return Opened(self._open_id, self._continues, bounds, self._barge_in)

    def _closed(self, ended: Ended, decision_ms: float | None) -> Utterance:
        if ended.audio_end > self.heard:  # a block that was filled up with silence reaches beyond
            ended = replace(ended, audio_end=self.heard, speech_end=min(ended.speech_end, self.heard))
        utterance = self._utterance(ended, decision_ms)
        self._continues = self._open_id
        self._open_id = ""
        return utterance

    def _utterance(self, ended: Ended, decision_ms: float | None) -> Utterance:
        return Utterance(
            utterance_id=self._open_id,
            continues=self._continues,
            channel=self.index,
            bounds=ended,
            audio=self._buffer.copy(ended.audio_start, min(ended.audio_end, self._buffer.end)),
            barge_in=self._barge_in,
            decision_ms=decision_ms,
        )
