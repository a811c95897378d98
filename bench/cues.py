"""What cues and saliency cost: `python -m bench.cues`.

One server in a process of its own scores 3 s of the sample talk at a time, one after another, as
AnalyzeUtterance takes them: bare, with cues, with cues and saliency, in turn, so that whatever the machine
does meets all three alike. A time is a call's, as its client sees it; processor time is the server's.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import time
from typing import Any, Final

import grpc
import psutil
import soundfile

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
