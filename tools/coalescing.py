"""What gathering audio into larger messages saves, and how much later decisions come for it.

A server process, and paced streams of the bundled talk as the client sends them: an open loop, each frame
when it is due. Every frame length and every way of gathering has its turn on the same server. The lag is from
the moment when the audio that decides was due, to `SpeechEnded` here.

    python tools/coalescing.py [--streams 8] [--frames-ms 10,20] [--rate 16000]
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from collections.abc import Coroutine
from importlib.resources import files
from pathlib import Path

import numpy as np
import psutil
import soundfile
import soxr

from affectstream import AffectClient, AudioFormat, SpeechEnded, StreamConfig
from affectstream.commands.local_server import local_server

WAYS: dict[str, int | None] = {"off": 0, "default": None, "40 ms": 40, "100 ms": 100}


async def talk(client: AffectClient, config: StreamConfig, pcm: bytes, frame_ms: int) -> list[float]:
    """Stream it at real time; the lags in ms."""
    size = config.audio.sample_rate_hz * frame_ms // 1_000 * 2
    frames = [pcm[place : place + size] for place in range(0, len(pcm), size)]
    lags_ms = []
    async with client.stream(config) as stream, asyncio.TaskGroup() as tasks:
        start_s = time.monotonic()

        async def send() -> None:
            for number, frame in enumerate(frames):
                await asyncio.sleep(start_s + number * frame_ms / 1_000 - time.monotonic())
                await stream.send(frame)
            await stream.end()

        tasks.create_task(send())
        async for event in stream:
            if isinstance(event, SpeechEnded) and event.decidable_at is not None:
                due_s = (event.decidable_at.ns - 1) // (frame_ms * 1_000_000) * frame_ms / 1_000
                lags_ms.append((time.monotonic() - start_s - due_s) * 1_000)
    return lags_ms[:-1]  # the last may be decided by the end of audio


async def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--streams", type=int, default=8)
    parser.add_argument("--frames-ms", default="10,20")
    parser.add_argument("--rate", type=int, default=16_000)
    args = parser.parse_args()
    samples, rate_hz = soundfile.read(str(files("affectstream") / "samples" / "talk.flac"), dtype="float32")
    pcm = (soxr.resample(samples, rate_hz, args.rate) * 32_767).astype(np.int16).tobytes()
    tell(f"{args.streams} streams of {args.rate} Hz; lag ms: mean, median, p95; CPU-s an audio hour")
    with tempfile.TemporaryDirectory() as folder:
        async with local_server(Path(folder) / "log") as address, AffectClient(address) as client:
            (server,) = psutil.Process().children()
            for frame_ms in map(int, args.frames_ms.split(",")):
                for name, way in WAYS.items():
                    config = StreamConfig(audio=AudioFormat(sample_rate_hz=args.rate), coalesce_ms=way)
                    before = [sum(p.cpu_times()[:2]) for p in (server, psutil.Process())]
                    lags = await asyncio.gather(
                        *(later(talk(client, config, pcm, frame_ms), 0.0237 * i) for i in range(args.streams))
                    )
                    after = [sum(p.cpu_times()[:2]) for p in (server, psutil.Process())]
                    hours = args.streams * len(pcm) / 2 / args.rate / 3_600
                    cpu = [(b - a) / hours for a, b in zip(before, after, strict=True)]
                    each = sorted(lag for stream in lags for lag in stream)
                    tell(
                        f"frame {frame_ms:>2} ms  {name:>8}  lag {statistics.mean(each):6.1f} "
                        f"{statistics.median(each):6.1f} {each[len(each) * 95 // 100]:6.1f}  "
                        f"server {cpu[0]:5.1f}  client {cpu[1]:5.1f}  n {len(each)}"
                    )


def tell(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


async def later(stream: Coroutine[None, None, list[float]], delay_s: float) -> list[float]:
    await asyncio.sleep(delay_s)
    return await stream


if __name__ == "__main__":
    asyncio.run(main())
