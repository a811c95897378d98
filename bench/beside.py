"""What a final takes that words are weighed in, or an output that a user taught: `python -m bench.beside`.

Scores are made up: what is measured is the event loop's own processor time for each. Words want the extra
`fusion`.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from affectstream.contract import EMOTIONS, LIMITS
from affectstream_server.scoring.scorer import ModelInfo, Score
from affectstream_server.scoring.user_outputs import UserOutput, UserOutputs
from affectstream_server.section import SettingsError
from affectstream_server.settings_fusion import FusionSettings
from affectstream_server.stages.fuse import open_fusion

_TIMES: Final = 200
_LABELS: Final = EMOTIONS[:4]
_SENTENCE: Final = "I am really disappointed that nobody called me back. "


def taken_us(call: Callable[[], object]) -> float:
    """Median of the thread's processor time."""
    found = []
    for _ in range(_TIMES):
        began = time.thread_time_ns()
        call()
        found.append((time.thread_time_ns() - began) / 1_000)
    return statistics.median(found)


def answer() -> Callable[[], object]:
    """An output of two labels, on an embedding of 256 values."""
    rng = np.random.default_rng(0)
    model = ModelInfo("m", "1", _LABELS, (), "digest", "fp32", 16_000, calibrated=True, embedding_size=256)
    shares, none, embedding = (rng.normal(size=size).astype(np.float32) for size in (len(_LABELS), 0, 256))
    score = Score(shares, none, embedding, compute_ms=0.0, queue_ms=0.0, model=model)
    output = UserOutput(
        name="u",
        labels=("calm", "loud"),
        clips=20,
        uar=0.9,
        better_than_chance=True,
        model_name="m",
        model_digest="digest",
        digest="",
        weights=rng.normal(size=(2, 256)).astype(np.float32),
        bias=np.zeros(2, np.float32),
    )
    outputs = UserOutputs([output])
    return lambda: outputs.add_to(score)


def main() -> int:
    """Print a table; returns the exit status."""
    print("| | processor time, µs |\n| --- | --- |")
    print(f"| a user's own output | {taken_us(answer()):.1f} |")
    began = time.thread_time_ns()
    try:
        fusion = open_fusion(FusionSettings(text="lexicon"))
    except SettingsError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"| opening the lexicon, once | {(time.thread_time_ns() - began) / 1_000:.0f} |")
    assert fusion is not None  # noqa: S101 - it was asked for
    voice = np.full(len(_LABELS), 1 / len(_LABELS), np.float32)
    for name, text in (
        ("a sentence", _SENTENCE),
        (f"{LIMITS.transcript_bytes} bytes", _SENTENCE * (LIMITS.transcript_bytes // len(_SENTENCE))),
    ):
        print(f"| words, {name} | {taken_us(partial(fusion.fuse, text, voice, _LABELS)):.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
