"""Speech: what is measured of an utterance once, however many cues it is for."""

from __future__ import annotations

from functools import cached_property
from typing import Final

from affectstream_server.cues.cycles import Cycles, cycles
from affectstream_server.cues.frames import Frames
from affectstream_server.cues.track import Track, track
from affectstream_server.stages.decode import Samples
from affectstream_server.stages.quality import snr_db

LEAST_FRAMES: Final = 10
"""Below it nothing is measured."""


class Speech:
    """An utterance, int16 ``[n]`` at 16 kHz. Each part is made when it is first asked for."""

    def __init__(self, audio: Samples) -> None:
        self.frames = Frames(audio)
        self.snr_db = snr_db(audio)
        """Level of speech over its background; None where it cannot be told."""

    @property
    def measurable(self) -> bool:
        """Long enough, and not digital silence."""
        return self.frames.count >= LEAST_FRAMES and self.snr_db is not None

    @cached_property
    def track(self) -> Track:
        return track(self.frames)

    @cached_property
    def cycles(self) -> Cycles | None:
        return cycles(self.frames, self.track)
