"""What cues and saliency cost: `python -m bench.cues`.

One server in a process of its own scores 3 s of the sample talk at a time, one after another, as
AnalyzeUtterance takes them: bare, with cues, with cues and saliency, in turn, so that whatever the machine
does meets all three alike. A time is a call's, as its client sees it; processor time is the server's. And
measuring alone, of 3 and of 30 s, with the memory that it takes for the moment.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
import tracemalloc
from typing import Any, Final

import grpc
import numpy as np
import psutil
import soundfile
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
from affectstream_server.cues.catalogue import measure as measure_cues
from affectstream_server.cues.speech import Speech
from bench.server import Server, ServerFailed
from bench.talks import find

_SECONDS: Final = 3
_RATE_HZ: Final = 16_000
_ASKED: Final = {
    "bare": pb.OutputConfig(),
    "cues": pb.OutputConfig(cues=True),
    "cues and saliency": pb.OutputConfig(cues=True, saliency=True),
}


async def measure(rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Milliseconds of wall clock and of the server's processor, of each call, by what was asked for."""
    samples, _ = soundfile.read(find(environ={}).paths[0], dtype="int16")
    count = len(samples) // (_SECONDS * _RATE_HZ)
    parts = [samples[i * _SECONDS * _RATE_HZ : (i + 1) * _SECONDS * _RATE_HZ].tobytes() for i in range(count)]
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=_RATE_HZ)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in _ASKED}
    async with Server("service", None) as server, grpc.aio.insecure_channel(server.address) as channel:
        service: Any = affect_pb2_grpc.AffectServiceStub(channel)
        process = psutil.Process(server.pid)
        for number in range(-1, rounds):
            for name, outputs in _ASKED.items():
                began, busy_s = time.perf_counter(), sum(process.cpu_times()[:2])
                for part in parts:
                    request = pb.AnalyzeUtteranceRequest(audio=audio, data=part, outputs=outputs)
                    await service.AnalyzeUtterance(request, timeout=30)
                if number >= 0:  # the first round makes what is made once
                    wall_ms = (time.perf_counter() - began) * 1_000 / count
                    cpu_ms = (sum(process.cpu_times()[:2]) - busy_s) * 1_000 / count
                    taken[name].append((wall_ms, cpu_ms))
    return taken


def alone(samples: NDArray[np.int16], rounds: int) -> tuple[float, float]:
    """Median milliseconds of the processor that the cues of this audio take, and MB at their peak."""
    taken_ms = []
    for _ in range(rounds):
        began = time.thread_time()
        measure_cues(Speech(samples))
        taken_ms.append((time.thread_time() - began) * 1_000)
    tracemalloc.start()
    measure_cues(Speech(samples))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return statistics.median(taken_ms), peak / 1e6


def main() -> int:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(prog="python -m bench.cues", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20, help="of each (default: %(default)s)")
    options = parser.parse_args()
    try:
        taken = asyncio.run(measure(options.rounds))
    except ServerFailed as error:
        sys.stderr.write(f"bench: {error}\n")
        return 2
    print("| asked for | a call, ms | of the processor, ms | more than bare, ms |")
    print("| --- | --- | --- | --- |")
    for name, calls in taken.items():
        more = [one[1] - bare[1] for one, bare in zip(calls, taken["bare"], strict=True)]
        wall_ms, cpu_ms = (statistics.median(call[i] for call in calls) for i in (0, 1))
        print(f"| {name} | {wall_ms:.1f} | {cpu_ms:.1f} | {statistics.median(more):.1f} |")
    talk, _ = soundfile.read(find(environ={}).paths[0], dtype="int16")
    for seconds in (_SECONDS, 10 * _SECONDS):
        ms, peak_mb = alone(talk[: seconds * _RATE_HZ], options.rounds)
        print(f"\nmeasuring {seconds} s alone: {ms:.1f} ms, {peak_mb:.0f} MB at its peak")
    return 0


if __name__ == "__main__":
    sys.exit(main())
