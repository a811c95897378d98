"""What the server's process holds: `python -m bench.memory`.

Idle streams, which were opened and send nothing; what a second of an open utterance adds to a stream; with
--churn, whether it grows while calls come and go (each some seconds of speech, faster than real time).
Resident memory of the process, which its allocator gives back when it likes: use many streams.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from rich.console import Console

from affectstream.v1 import affect_pb2 as pb
from bench import report, talks
from bench.channel import GrpcChannel
from bench.machine import Cores, Gauge, choose_cores, versions
from bench.options import within
from bench.server import Server, ServerFailed
from bench.talks import CONFIG, END_OF_AUDIO, NOT_SCORED, read

_ROOT: Final = Path(__file__).resolve().parent.parent
_FRAME_SAMPLES: Final = 1_600
_FRAME_S: Final = 0.1
_STREAMS_A_CONNECTION: Final = 10
_SETTLE_S: Final = 0.5
_IDLE_SHARE: Final = 0.1
_PATIENCE_S: Final = 60.0
_SHORT_S: Final = 5
_LONG_S: Final = 25
_CALL_S: Final = 8
_SAMPLE_S: Final = 2.0
_SPEED: Final = 4.0
_RETAINED: Final = {"AFFECTSTREAM_BUS__RETENTION_S": "20"}
"""What is retained for watchers fills up once, and soon: by default for an hour, to 64 MiB at most."""
_NEVER_MS: Final = 5_000
"""A hang-over that no pause of the talks outlasts: the utterance stays open."""


class Held:
    """Streams that are open at once."""

    def __init__(self, address: str, streams: int) -> None:
        self._channels = [GrpcChannel(address) for _ in range(-(-streams // _STREAMS_A_CONNECTION))]
        self._calls = [self._channels[number // _STREAMS_A_CONNECTION].open() for number in range(streams)]

    async def say(self, *requests: bytes) -> None:
        """Send these on every stream."""
        for request in requests:
            await asyncio.gather(*(call.write(request) for call in self._calls))

    async def started(self) -> None:
        """Return when every stream has its first event."""
        await asyncio.gather(*(call.read() for call in self._calls))

    async def close(self) -> None:
        """Leave them all."""
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*(channel.close() for channel in self._channels))


def open_config() -> bytes:
    """A stream whose utterance, once begun, does not end."""
    request = pb.StreamAffectRequest.FromString(CONFIG)
    endpointing = request.config.endpointing
    endpointing.hangover_policy = pb.HANGOVER_POLICY_FIXED
    endpointing.hangover_ms = _NEVER_MS
    endpointing.stall_ms = 60_000
    return request.SerializeToString()


async def settled(gauge: Gauge) -> float:
    """KiB that are resident once the process has nothing more to do. Raises `TimeoutError`."""
    async with asyncio.timeout(_PATIENCE_S):
        while True:
            before = gauge.read()
            await asyncio.sleep(_SETTLE_S)
            after = gauge.read()
            if after.cpu_s - before.cpu_s < _IDLE_SHARE * _SETTLE_S:
                return after.rss_kib


async def idle(streams: int, cores: Cores) -> float:
    """KiB that a stream takes which says nothing."""
    settings = {"AFFECTSTREAM_SERVER__MAX_STREAMS": str(streams + 10)}
    async with Server("service", cores.server, settings) as server:
        gauge = Gauge(server.pid)
        warm = Held(server.address, 10)
        await warm.say(CONFIG)
        await warm.started()
        before = await settled(gauge)
        held = Held(server.address, streams)
        await held.say(CONFIG)
        await held.started()
        found = (await settled(gauge) - before) / streams
        await held.close()
        await warm.close()
    return found


async def utterance(streams: int, talk: Sequence[bytes], cores: Cores) -> float:
    """KiB that a second of an open utterance takes in a stream."""
    settings = {"AFFECTSTREAM_SERVER__AHEAD_RATE": "0"}
    async with Server("listen", cores.server, settings) as server:
        gauge = Gauge(server.pid)
        held = Held(server.address, streams)
        await held.say(open_config(), NOT_SCORED)
        await held.started()
        await held.say(*talk[: round(_SHORT_S / _FRAME_S)])
        short = await settled(gauge)
        await held.say(*talk[round(_SHORT_S / _FRAME_S) : round(_LONG_S / _FRAME_S)])
        long = await settled(gauge)
        await held.close()
    return (long - short) / streams / (_LONG_S - _SHORT_S)


async def churn(streams: int, talk: Sequence[bytes], minutes: float, cores: Cores) -> dict[str, Any]:
    """Calls that come and go, ``streams`` at once: memory over time, and what it gains in an hour."""
    samples: list[tuple[float, float]] = []
    ends_at = 0.0
    calls = 0
    frames = range(round(_CALL_S / _FRAME_S))

    async def caller(number: int, channel: GrpcChannel) -> None:
        nonlocal calls
        await asyncio.sleep(number / streams * _CALL_S / _SPEED)
        place = number
        while time.monotonic() < ends_at:
            await _call(channel, [talk[(place + one) % len(talk)] for one in frames])
            place += 37
            calls += 1

    async with Server("service", cores.server, _RETAINED) as server:
        gauge = Gauge(server.pid)
        ends_at = time.monotonic() + 60 * minutes
        channels = [GrpcChannel(server.address) for _ in range(-(-streams // _STREAMS_A_CONNECTION))]
        async with asyncio.TaskGroup() as tasks:
            for number in range(streams):
                tasks.create_task(caller(number, channels[number // _STREAMS_A_CONNECTION]))
            while (now := time.monotonic()) < ends_at:
                samples.append((now, gauge.read().rss_kib))
                await asyncio.sleep(_SAMPLE_S)
        await asyncio.gather(*(channel.close() for channel in channels))
    return {"streams": streams, "minutes": minutes, "calls": calls, **growth(samples)}


async def _call(channel: GrpcChannel, frames: Sequence[bytes]) -> None:
    call = channel.open()
    began = time.monotonic()

    async def drain() -> None:
        async for _ in call:
            pass

    reading = asyncio.create_task(drain())
    await call.write(CONFIG)
    for number, frame in enumerate(frames):
        await asyncio.sleep(began + number * _FRAME_S / _SPEED - time.monotonic())
        await call.write(frame)
    await call.write(END_OF_AUDIO)
    await call.done_writing()
    await reading


def growth(samples: Sequence[tuple[float, float]]) -> dict[str, Any]:
    """KiB at the middle and at the end, and gained in an hour by the line through the second half."""
    half = samples[len(samples) // 2 :]
    times, sizes = np.array(half).T
    slope = float(np.polyfit(times - times[0], sizes, 1)[0]) if len(half) > 1 else 0.0
    return {
        "rss_kib_middle": half[0][1],
        "rss_kib_end": half[-1][1],
        "growth_kib_per_hour": round(slope * 3_600, 1),
        "samples": [[round(at - samples[0][0], 1), size] for at, size in samples],
    }


async def measure(
    *, idle_streams: int, speaking: int, minutes: float, file: Path, cores: Cores
) -> dict[str, Any]:
    """Everything. Raises `ServerFailed`, `NoTalks` and `grpc.aio.AioRpcError`."""
    talk = read(file, _FRAME_SAMPLES)
    while len(talk) < _LONG_S / _FRAME_S:
        talk = talk + talk
    found: dict[str, Any] = {
        "idle": {"streams": idle_streams, "kib_per_stream": round(await idle(idle_streams, cores), 1)},
        "utterance": {
            "streams": speaking,
            "kib_per_second": round(await utterance(speaking, talk, cores), 1),
        },
    }
    if minutes:
        found["churn"] = await churn(speaking, talk, minutes, cores)
    return found


def tell(found: dict[str, Any], console: Console) -> None:
    """In some lines."""
    idle_streams, open_utterance = found["idle"], found["utterance"]
    console.print(
        f"memory: {idle_streams['kib_per_stream']} KiB an idle stream ({idle_streams['streams']} of them), "
        f"{open_utterance['kib_per_second']} KiB for each second of an open utterance"
    )
    if "churn" in found:
        churned = found["churn"]
        console.print(
            f"memory: {churned['calls']} calls in {churned['minutes']:g} minutes: "
            f"{churned['rss_kib_middle'] / 1_024:.1f} MiB at half time, {churned['rss_kib_end'] / 1_024:.1f} "
            f"at the end, {churned['growth_kib_per_hour'] / 1_024:.1f} MiB an hour"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench.memory",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    number: dict[str, Any] = {"metavar": "N", "help": "%(default)s"}
    parser.add_argument("--idle", type=within(int, 1, 20_000), default=1_000, **number)
    parser.add_argument("--speaking", type=within(int, 1, 1_000), default=50, **number)
    parser.add_argument("--churn", type=within(float, 0, 1_440), default=0.0, metavar="MINUTES")
    parser.add_argument("--audio", type=Path, nargs="+", default=(), metavar="FILE", help="speech to send")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/memory.json", metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        source = talks.find(args.audio)
        found = asyncio.run(
            measure(
                idle_streams=args.idle,
                speaking=args.speaking,
                minutes=args.churn,
                file=source.paths[0],
                cores=choose_cores(),
            )
        )
    except (talks.NoTalks, ServerFailed, TimeoutError, grpc.aio.AioRpcError) as error:
        sys.stderr.write(f"bench.memory: {error}\n")
        return 2
    report.write({"versions": versions(), "speech": source.description, "memory": found}, args.output)
    tell(found, Console(highlight=False, soft_wrap=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
