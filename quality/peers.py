"""Other endpointers, re-created on our detector's probabilities: their timers and thresholds alone.

Written from their public documentation and source. Left out: Pipecat's loudness filter (the plain level
of the block stands for it) and its reset of the detector's memory every five seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from affectstream.contract import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from quality.measure import Heard
from quality.talks import Span

Endpointer = Callable[[Sequence[float], Sequence[float]], list[Heard]]
"""Probabilities and levels in dB against full scale, one a block → utterances."""

_PCM_FULL_SCALE_DB: Final = 90.3


@dataclass(frozen=True, slots=True)
class OneTimer:
    """Speech above one threshold, silence below another, for so long; all times in ms."""

    name: str
    start_at: float
    stay_at: float
    start_ms: float
    stop_ms: float
    smoothing: float = 0.0
    """Weight of the probability before in an exponential average."""
    min_level_db: float = -200.0
    """Level, smoothed with a fifth of the new block, below which nothing is speech."""

    def __call__(self, probabilities: Sequence[float], levels_db: Sequence[float]) -> list[Heard]:
        heard: list[Heard] = []
        block_ms = BLOCK_SAMPLES * 1_000 / SAMPLE_RATE_HZ
        average = volume = run = silence = 0.0
        onset = end = 0
        open_ = False
        for index, (probability, level) in enumerate(zip(probabilities, levels_db, strict=True)):
            average = self.smoothing * average + (1 - self.smoothing) * probability
            loudness = min(1.0, max(0.0, (level + _PCM_FULL_SCALE_DB + 20) / 100))
            volume += 0.2 * (loudness - volume)
            audible = volume >= (self.min_level_db + _PCM_FULL_SCALE_DB + 20) / 100
            speech = audible and average >= (self.stay_at if open_ else self.start_at)
            position = (index + 1) * BLOCK_SAMPLES
            if speech:
                if not open_ and run == 0:
                    onset = index * BLOCK_SAMPLES
                run += block_ms
                silence = 0.0
                end = position
                open_ = open_ or run >= self.start_ms
            else:
                run = 0.0
                silence += block_ms
                if open_ and silence >= self.stop_ms:
                    heard.append(Heard(Span(onset, end), position))
                    open_ = False
        if open_:
            heard.append(Heard(Span(onset, end), len(probabilities) * BLOCK_SAMPLES))
        return heard


PIPECAT: Final = OneTimer("Pipecat's default VAD settings (200 ms)", 0.7, 0.7, 192, 192, 0.0, -50.3)
LIVEKIT: Final = OneTimer("LiveKit Silero's default settings (550 ms)", 0.5, 0.35, 50, 550, 0.35)
PLAIN: Final = tuple(OneTimer(f"Silero plain loop, {ms} ms", 0.5, 0.35, 0, ms) for ms in (100, 300, 500))


@dataclass(frozen=True, slots=True)
class Published:
    """A row measured elsewhere on the conversation talks; restated, not measured again."""

    name: str
    found: int
    split: int
    merged: int
    false: int
    one_to_one: int
    start_ms: int
    end_ms: int
    told_ms: int
    told_p90_ms: int


PUBLISHED_ON: Final = "as given on 2026-11-21"
PUBLISHED: Final = (
    Published("Pipecat 1.14 defaults (200 ms)", 83, 17, 1, 0, 64, 115, -35, 165, 270),
    Published("LiveKit Agents 1.8.9, Silero defaults (550 ms)", 84, 10, 27, 1, 35, 94, 14, 590, 730),
    Published("LiveKit Agents 1.8.9, built-in defaults (250 ms)", 84, 13, 7, 1, 60, 86, -2, 260, 360),
    Published("Silero plain loop, 100 ms", 84, 18, 3, 3, 61, 54, 30, 170, 270),
    Published("Silero plain loop, 300 ms", 84, 11, 14, 2, 49, 52, 23, 350, 450),
    Published("Silero plain loop, 500 ms", 84, 11, 23, 2, 39, 58, 20, 540, 650),
    Published("webrtcvad mode 3, 300 ms", 84, 9, 28, 9, 40, 60, -30, 270, 620),
)
