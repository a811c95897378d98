"""What follows a score costs, on and off in turn: `python -m bench.following`.

The first table adds one thing at a time to nothing. The second is the server's whole way of a final, from its
endpoint to its bytes, with `guidance.policy` off and on. Both in pairs of rounds that differ in one thing.
Audio is not scored and nothing is sent: what is measured is the event loop's own time for a final.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from affectstream.contract import EMOTIONS
from affectstream.tone import default_policy
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.guidance import Advisor
from affectstream_server.stages.baseline import Baselines
from affectstream_server.stages.quality import clipped_ratio, snr_db
from bench.delivered import deliver

ROUNDS: Final = 60
FINALS: Final = 400
SECONDS: Final = 3


def finals(seed: int) -> list[pb.AffectEvent]:
    """Finals of a made-up session."""
    rng = np.random.default_rng(seed)
    made = []
    for number, shares in enumerate(rng.dirichlet([0.3] * 4, FINALS)):
        event = pb.AffectEvent(utterance_id=f"u{number}", stage=pb.STAGE_FINAL, status=pb.AFFECT_STATUS_OK)
        event.audio_end.FromMilliseconds(4_000 * number)
        for label, share in zip(EMOTIONS, shares.tolist(), strict=False):
            event.emotions.add(label=label, probability=share)
        event.dimensions.arousal = rng.uniform()
        made.append(event)
    return made


def paired(added: Callable[[], Callable[[pb.AffectEvent], None]]) -> tuple[float, float]:
    """Median µs of processor time that it adds to a final, and the median deviation over rounds."""
    costs = []
    for number in range(ROUNDS):
        taken = []
        for step in (added(), lambda _: None):
            events = finals(number)
            began = time.thread_time_ns()
            for event in events:
                step(event)
            taken.append(time.thread_time_ns() - began)
        costs.append((taken[0] - taken[1]) / FINALS / 1_000)
    return middle_of(costs)


def middle_of(costs: list[float]) -> tuple[float, float]:
    """The median and the median deviation from it."""
    middle = statistics.median(costs)
    return middle, statistics.median(abs(cost - middle) for cost in costs)


def compare() -> Callable[[pb.AffectEvent], None]:
    """Against the speaker's baseline."""
    baselines = Baselines()
    return lambda event: baselines.compare(0, event)


def advise() -> Callable[[pb.AffectEvent], None]:
    """By the default policy."""
    return Advisor(default_policy(), "en").advise


def main() -> None:
    """Print a table."""
    audio = np.random.default_rng(0).normal(0, 3_000, SECONDS * 16_000).astype(np.int16)
    rows = {
        "baseline": compare,
        "guidance, default policy": advise,
        f"clipped_ratio of {SECONDS} s": lambda: lambda _: void(clipped_ratio(audio)),
        f"snr_db of {SECONDS} s, for comparison": lambda: lambda _: void(snr_db(audio)),
    }
    print("| | processor time a final, µs | deviation |\n| --- | --- | --- |")
    for name, added in rows.items():
        show(name, paired(added))
    print()
    asyncio.run(both_ways())
    plain, guided = finals(0)[0], finals(0)[0]
    advised = Advisor(default_policy(), "en")
    guided.emotions[0].probability = 1.0
    advised.advise(guided)
    print(f"\nguidance adds {guided.ByteSize() - plain.ByteSize()} bytes to a final")


async def both_ways() -> None:
    """Print what a final takes of the server, with guidance and without, the one first and then the other."""
    costs: dict[str, list[float]] = {"off": [], "default": []}
    for number in range(ROUNDS):
        for policy in sorted(costs, reverse=bool(number % 2)):
            cost, _ = await deliver(policy, number, FINALS)
            costs[policy].append(cost)
    print("| endpoint to bytes | processor time a final, µs | deviation |\n| --- | --- | --- |")
    for policy, found in costs.items():
        show(f"`guidance.policy: {policy}`", middle_of(found))
    more = [on - off for on, off in zip(costs["default"], costs["off"], strict=True)]
    show("on more than off", middle_of(more))


def show(name: str, found: tuple[float, float]) -> None:
    """Print a row of a table."""
    middle, deviation = found
    print(f"| {name} | {middle:.1f} | {deviation:.1f} |")


def void(_: object) -> None:
    """Nothing."""


if __name__ == "__main__":
    main()
