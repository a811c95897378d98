"""What the WebSocket bridge costs: `python -m bench.bridge`.

A server, the bridge before it and talks at real time, each a process of its own. First the round trip of a
control on an idle stream, by gRPC and through the bridge; then the bridge's processor time under load.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.resources import files
from typing import Any, Final

import aiohttp
import grpc
import numpy as np
import psutil
import soundfile
from rich.console import Console

from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from bench.server import Server

RATE_HZ: Final = 16_000
FRAME: Final = 320
CONFIG: Final = {"audio": {"encoding": "AUDIO_ENCODING_LINEAR16", "sampleRateHz": RATE_HZ}}
ROUND_TRIPS: Final = 200
PAUSE_S: Final = 0.005


@asynccontextmanager
async def bridge(server: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A bridge before ``server``: where it listens, and its process."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream.cli", "bridge", "--server", server),
        *("--listen", "127.0.0.1:0", "--drain", "0"),
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None  # noqa: S101 - for the type checker
        yield (await process.stdout.readline()).decode().split()[-1], psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


@asynccontextmanager
async def opened(address: str) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
    """A WebSocket whose session has started."""
    url = f"http://{address}/v1/stream"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:
        await socket.send_json({"config": CONFIG})
        await socket.receive_json()
        yield socket


async def by_socket(address: str) -> list[float]:
    """Round trips of controls in ms."""
    found = []
    async with opened(address) as socket:
        for number in range(ROUND_TRIPS):
            kind = "turnEnded" if number % 2 else "turnStarted"
            control = {"controlId": str(number), kind: {"turnId": str(number // 2)}}
            asked = time.perf_counter()
            await socket.send_json({"control": control})
            while "controlDone" not in (await socket.receive_json())["event"]:
                pass
            found.append(1_000 * (time.perf_counter() - asked))
            await asyncio.sleep(PAUSE_S)
    return found


async def by_grpc(address: str) -> list[float]:
    """The same without the bridge."""
    found = []
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=RATE_HZ)
    async with grpc.aio.insecure_channel(address) as channel:
        call: Any = AffectServiceStub(channel).StreamAffect()
        await call.write(pb.StreamAffectRequest(config=pb.SessionConfig(audio=audio)))
        await call.read()
        for number in range(ROUND_TRIPS):
            control = pb.Control(control_id=str(number))
            (control.turn_ended if number % 2 else control.turn_started).turn_id = str(number // 2)
            asked = time.perf_counter()
            await call.write(pb.StreamAffectRequest(control=control))
            while (await call.read()).event.WhichOneof("event") != "control_done":
                pass
            found.append(1_000 * (time.perf_counter() - asked))
            await asyncio.sleep(PAUSE_S)
        call.cancel()
    return found


async def speak(address: str, samples: Any, seconds: float) -> int:
    """Stream at real time. Returns how many messages came back."""
    heard = 0
    async with opened(address) as socket:

        async def send() -> None:
            begun = time.perf_counter()
            for number in range(round(seconds * RATE_HZ) // FRAME):
                at = number * FRAME % (len(samples) - FRAME)
                await socket.send_bytes(samples[at : at + FRAME].tobytes())
                due = begun + (number + 1) * FRAME / RATE_HZ
                await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await socket.send_json({"control": {"endOfAudio": {}}})

        sending = asyncio.create_task(send())
        async for message in socket:
            heard += "event" in json.loads(message.data)
        await sending
    return heard


async def measure(streams: int, seconds: float) -> dict[str, Any]:
    """Every figure."""
    talk, _ = soundfile.read(str(files("affectstream") / "samples" / "talk.flac"), dtype="int16")
    async with Server("service", None) as server, bridge(server.address) as (address, process):
        trips = {"grpc": await by_grpc(server.address), "bridge": await by_socket(address)}
        before = sum(process.cpu_times()[:2])
        talks = [np.roll(talk, RATE_HZ * number) for number in range(streams)]
        heard = await asyncio.gather(*(speak(address, samples, seconds) for samples in talks))
        spent = sum(process.cpu_times()[:2]) - before
        rss = process.memory_info().rss
    return {
        "round_trip_ms_p50": {name: round(statistics.median(times), 2) for name, times in trips.items()},
        "streams": streams,
        "frame_ms": 1_000 * FRAME // RATE_HZ,
        "events": sum(heard),
        "cpu_s_per_audio_hour": round(spent / (streams * seconds / 3_600), 1),
        "rss_mb": round(rss / 1e6),
    }


def main() -> None:
    """Print the figures as JSON."""
    parser = argparse.ArgumentParser(prog="python -m bench.bridge", description=__doc__)
    parser.add_argument("--streams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=20.0)
    args = parser.parse_args()
    Console().print_json(data=asyncio.run(measure(args.streams, args.seconds)))


if __name__ == "__main__":
    main()
