"""One analysed channel of a session: its audio, its place in the detector, its utterances."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from affectstream.contract import BLOCK_SAMPLES
from affectstream_server.audio_buffer import AudioBuffer
from affectstream_server.stages.decode import Decoder, Samples
from affectstream_server.stages.detect import CONTEXT_SAMPLES, WINDOW_SAMPLES
from affectstream_server.stages.segment import Boundary, Ended, Segmenter, Trigger
from affectstream_server.utterance import Opened, Utterance

_SILENCE: Final[Samples] = np.zeros(WINDOW_SAMPLES, np.int16)


class Channel:
    """Decoded audio waits here for the detector, and from there for the endpoint.

    ``slot`` is the channel's place in the detector. All positions are samples at 16 kHz.
    """

    def __init__(self, index: int, slot: int, decoder: Decoder, segmenter: Segmenter, id_prefix: str) -> None:
        self.index = index
        self.slot = slot
        self._decoder = decoder
        self._segmenter = segmenter
        self._id_prefix = id_prefix
        self._buffer = AudioBuffer()
        self._count = 0
        self._open_id = ""
        self._continues = ""
        self._clipped_before = 0
        self._arrived_at = 0.0
        self._ended = False
        self.queued = False
        """It waits for the detector's next batch."""

    @property
    def heard(self) -> int:
        """Position after the newest decoded sample."""
        return self._buffer.end

    @property
    def undecided(self) -> int:
        """Samples decoded and not yet looked at by the detector."""
        return self._buffer.end - self._segmenter.position

    @property
    def has_block(self) -> bool:
        """The detector has something to do: a whole block, or the rest after the end of audio."""
        return self.undecided >= BLOCK_SAMPLES or (self._ended and self.undecided > 0)

    @property
    def open_utterance_id(self) -> str:
        """Id of the utterance that is open; empty if none is."""
        return self._open_id

    @property
    def settled_until(self) -> int:
        """No utterance that is open or still to be found begins before this position."""
        return min(self._segmenter.keep_from, self.heard)

    def feed(self, data: bytes, now: float) -> None:
        """Decode a chunk. ``now`` is its arrival in seconds. Raises `InvalidRequest`."""
        self._buffer.append(self._decoder.decode(data))
        self._arrived_at = now

    def end_audio(self) -> None:
        """No more audio: what the resampler holds back, and the last part of a block, count too."""
        self._buffer.append(self._decoder.finish())
        self._ended = True

    def window(self) -> Samples:
        """The detector's next input: int16 ``[576]``."""
        position = self._segmenter.position
        start, end = position - CONTEXT_SAMPLES, position + BLOCK_SAMPLES
        if start >= self._buffer.start and end <= self._buffer.end:
            return self._buffer.view(start, end)
        first, last = max(start, self._buffer.start), min(end, self._buffer.end)
        window = _SILENCE.copy()
        window[first - start : last - start] = self._buffer.view(first, last)
        return window

    def decide(self, probability: float, now: float) -> Sequence[Opened | Utterance]:
        """Take the probability of the window's block; returns the utterances it began or ended."""
        boundaries = self._segmenter.push(probability)
        decided = [self._named(boundary, now) for boundary in boundaries] if boundaries else ()
        self._buffer.drop_before(min(self._segmenter.keep_from, self._segmenter.position - CONTEXT_SAMPLES))
        return decided

    def close_utterance(self, trigger: Trigger) -> Utterance | None:
        """End the open utterance with the audio heard so far; None if none is open."""
        ended = self._segmenter.finish(self.heard, trigger)
        return None if ended is None else self._utterance(ended, None)

    def _named(self, boundary: Boundary, now: float) -> Opened | Utterance:
        if isinstance(boundary, Ended):
            return self._utterance(boundary, (now - self._arrived_at) * 1_000)
        self._count += 1
        self._open_id = f"{self._id_prefix}.{self.index}.{self._count}"
        continues = self._continues if boundary.continues else ""
        self._continues = continues
        return Opened(self._open_id, continues, boundary)

    def _utterance(self, ended: Ended, decision_ms: float | None) -> Utterance:
        clipped = self._decoder.clipped_samples
        utterance = Utterance(
            utterance_id=self._open_id,
            continues=self._continues,
            channel=self.index,
            bounds=ended,
            audio=self._buffer.view(ended.audio_start, min(ended.audio_end, self._buffer.end)).copy(),
            clipped=clipped > self._clipped_before,
            decision_ms=decision_ms,
        )
        self._clipped_before = clipped
        self._continues = self._open_id
        self._open_id = ""
        return utterance
