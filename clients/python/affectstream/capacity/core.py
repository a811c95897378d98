"""A server process on one core, as an event loop: what waits when it wakes is done in one go.

That is why an hour of audio costs less on a busy core than on an idle one: a wake-up is shared by all
messages that came meanwhile.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from math import inf
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import BLOCK_SAMPLES, SAMPLE_RATE_HZ

Times = NDArray[np.float64]
_BLOCK_S: Final = BLOCK_SAMPLES / SAMPLE_RATE_HZ
_MAX_BATCH: Final = 64


@dataclass(frozen=True, slots=True)
class Costs:
    """Seconds of a core. `affectstream.capacity.fit` finds them."""

    wake_s: float
    """Each time that the loop has something to do."""
    message_s: float
    """Each message with audio, whatever its length."""
    block_s: float
    """Each 32 ms of audio: decode, detect, segment."""
    embedded_s: float
    """Each score by the embedded model."""
    request_s: float
    """Each score by an inference server elsewhere."""


@dataclass(frozen=True, slots=True)
class Load:
    """What one process is given."""

    streams: int
    frame_ms: int
    scores_per_s: float
    """Of each stream, those that speech made void among them."""
    score_s: float
    """What one takes of the core."""
    tick_s: float = 0.008
    seconds: float = 4.0
    """Of virtual time that counts."""
    before_s: float = 1.0
    """Of virtual time before it."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of it."""

    share: float
    """Of the core, 0..1."""
    wakes_per_s: float
    messages_per_s: float
    blocks_per_s: float
    scores_per_s: float
    decision_ms: Times
    """Of each block: from when its last sample was due until it was decided on."""
    final_ms: Times
    """Of each block: from there until what is said of it leaves, where no score is waited for."""


def simulate(load: Load, costs: Costs, seed: int = 1) -> Outcome:
    """Play a load. The same seed gives the same outcome."""
    random = np.random.default_rng(seed)
    start_s = load.before_s
    end_s = start_s + load.seconds
    arrivals, block_messages, block_dues = _audio(load, end_s, random)
    number = random.poisson(load.scores_per_s * load.streams * end_s)
    scores = [*np.sort(random.uniform(0, end_s, number)).tolist(), inf]
    now = busy = 0.0
    message = block = score = tick = looked = 0
    wakes = messages = blocks = scored = 0
    tick_at = inf
    dues: list[float] = []
    decided: list[float] = []
    left: list[float] = []
    while True:
        due = min(arrivals[message], scores[score], tick_at)
        if due == inf:  # what came in time is done, however late
            break
        began = max(now, due)
        now = began + costs.wake_s
        is_tick = tick_at <= now
        last = bisect_right(arrivals, now, message)
        last_score = bisect_right(scores, now, score)
        now += (last - message) * costs.message_s + (last_score - score) * load.score_s
        if is_tick:
            tick = min(looked + _MAX_BATCH, block)
            for number in range(looked, tick):
                now += costs.block_s
                if block_dues[number] >= start_s:
                    dues.append(block_dues[number])
                    decided.append(now)
            left.extend([now] * (len(decided) - len(left)))
        block = bisect_right(block_messages, last - 1, block)
        busy += max(min(now, end_s) - max(began, start_s), 0.0)
        if start_s <= began < end_s:
            wakes += 1
            messages += last - message
            blocks += tick - looked if is_tick else 0
            scored += last_score - score
        if is_tick:
            looked = tick
            tick_at = now if looked < block else inf
        elif tick_at == inf and looked < block:
            tick_at = now + load.tick_s
        message, score = last, last_score
    decision = np.array(decided) - np.array(dues)
    return Outcome(
        share=min(busy / load.seconds, 1.0),
        wakes_per_s=wakes / load.seconds,
        messages_per_s=messages / load.seconds,
        blocks_per_s=blocks / load.seconds,
        scores_per_s=scored / load.seconds,
        decision_ms=decision * 1_000,
        final_ms=(np.array(left) - np.array(decided)) * 1_000,
    )


def _audio(
    load: Load, end_s: float, random: np.random.Generator
) -> tuple[list[float], list[int], list[float]]:
    """When messages come, and for each block the message that ends it, and when that came."""
    frame_s = load.frame_ms / 1_000
    frames = np.arange(int(end_s / frame_s))
    phases = np.arange(load.streams) * frame_s / load.streams
    starts = random.uniform(0, _BLOCK_S, load.streams)  # where in a block each stream's audio begins
    at = (frames[None, :] * frame_s + phases[:, None]).ravel()
    heard = (starts[:, None] + (frames[None, :] + 1) * frame_s).ravel() / _BLOCK_S
    before = (starts[:, None] + frames[None, :] * frame_s).ravel() / _BLOCK_S
    ended = np.floor(heard).astype(np.int64) - np.floor(before).astype(np.int64)
    order = np.argsort(at, kind="stable")
    at, ended = at[order], ended[order]
    messages = np.repeat(np.arange(len(at)), ended)
    return [*at.tolist(), inf], messages.tolist(), at[messages].tolist()
