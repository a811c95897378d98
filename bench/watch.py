"""How late watchers hear, through Redis: `python -m bench.watch`.

Two servers share a Redis of their own. Sessions stream at real time to the one, with an event each tenth
of a second, and watchers follow them at the other, each on a call of its own. A time is from the moment when
the event was serialised for its stream until its watcher has it, on one clock; the driver that reads them all
is a Python process too, and its share is in it.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
from rich.console import Console
from rich.table import Table

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import close, write
from bench import talks
from bench.machine import Cores, choose_cores, versions
from bench.server import Server, ServerFailed
from bench.talks import read
from tools.redis_server import RedisMissing, RedisServer

_ROOT: Final = Path(__file__).resolve().parent.parent
_FRAME_S: Final = 0.1
_FRAME_SAMPLES: Final = 1_600
_WARM_S: Final = 2.0
_PROBE_S: Final = 0.01
_WANTED_P99_MS: Final = 10.0
_WATCH: Final = "/affectstream.v1.AffectService/WatchAffect"
_STREAM: Final = "/affectstream.v1.AffectService/StreamAffect"


class Run:
    """One measurement: ``sessions`` at the first address, ``watchers`` of them at the second."""

    def __init__(self, sessions: int, watchers: int, seconds: float, talk: Path) -> None:
        self._sessions = sessions
        self._watchers = watchers
        self._seconds = seconds
        self._frames = [pb.StreamAffectRequest.FromString(one) for one in read(talk, _FRAME_SAMPLES)]
        self.said = 0
        self.heard = 0
        self.expected = 0
        self.late_ms: list[float] = []
        self.driver_ms: list[float] = []

    async def drive(self, streams_at: str, watches_at: str) -> None:
        """Stream and watch, until every session has ended."""
        options = (("grpc.use_local_subchannel_pool", 1),)
        probing = asyncio.create_task(self._probe())
        async with (
            grpc.aio.insecure_channel(streams_at, options=options) as first,
            grpc.aio.insecure_channel(watches_at, options=options) as second,
            asyncio.TaskGroup() as tasks,
        ):
            for number in range(self._sessions):
                tasks.create_task(self._session(number, first, second))
        probing.cancel()
        await asyncio.wait([probing])

    async def _probe(self) -> None:
        """How late the driver itself wakes up: what the machine does to each of the processes."""
        while True:
            due = time.monotonic() + _PROBE_S
            await asyncio.sleep(_PROBE_S)
            self.driver_ms.append((time.monotonic() - due) * 1_000)

    async def _session(self, number: int, first: grpc.aio.Channel, second: grpc.aio.Channel) -> None:
        await asyncio.sleep(number * _FRAME_S / self._sessions)
        method: Any = first.stream_stream(
            _STREAM, pb.StreamAffectRequest.SerializeToString, pb.StreamAffectResponse.FromString
        )
        call = method()
        session_id = f"bench-{os.getpid()}-{number}"
        audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
        outputs = pb.OutputConfig(progress_interval_ms=100)
        config = pb.SessionConfig(session_id=session_id, audio=audio, outputs=outputs)
        await write(call, pb.StreamAffectRequest(config=config))
        await call.read()
        share = range(number, self._watchers, self._sessions)
        reading = asyncio.create_task(self._count(call, len(share)))
        async with asyncio.TaskGroup() as tasks:
            for _ in share:
                tasks.create_task(self._watch(session_id, second))
            await self._speak(call)
        await reading

    async def _speak(self, call: Any) -> None:
        began = time.monotonic()
        frames = itertools.cycle(self._frames)
        for count in range(round((self._seconds + _WARM_S) / _FRAME_S)):
            await asyncio.sleep(began + count * _FRAME_S - time.monotonic())
            await write(call, next(frames))
        await write(call, pb.StreamAffectRequest(control=pb.Control(end_of_audio=pb.EndOfAudio())))
        await close(call)

    async def _count(self, call: Any, watchers: int) -> None:
        count = 1
        while isinstance(await call.read(), pb.StreamAffectResponse):
            count += 1
        self.said += count
        self.expected += count * watchers

    async def _watch(self, session_id: str, channel: grpc.aio.Channel) -> None:
        request = pb.WatchAffectRequest(session_id=session_id, start=pb.WATCH_START_EARLIEST)
        method: Any = channel.unary_stream(
            _WATCH, pb.WatchAffectRequest.SerializeToString, pb.WatchAffectResponse.FromString
        )
        warm_at = time.monotonic() + _WARM_S
        async for response in method(request):
            now_ns = time.time_ns()
            self.heard += 1
            if time.monotonic() >= warm_at:
                self.late_ms.append((now_ns - response.event.server_time.ToNanoseconds()) / 1e6)


async def measure(args: argparse.Namespace, talk: Path, cores: Cores) -> Run:
    """A Redis, two servers, and what the watchers heard."""
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder))
        redis.start()
        os.environ["AFFECTSTREAM_BUS__URL"] = redis.url
        try:
            async with Server("service", cores.server) as first, Server("service", cores.driver) as second:
                run = Run(args.sessions, args.watchers, args.seconds, talk)
                await run.drive(first.address, second.address)
        finally:
            del os.environ["AFFECTSTREAM_BUS__URL"]
            redis.kill()
    return run


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(
        prog="python -m bench.watch",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument("--sessions", type=int, default=10, metavar="N", help="default: %(default)s")
    options.add_argument("--watchers", type=int, default=50, metavar="N", help="of them all; default: 50")
    options.add_argument("--seconds", type=float, default=20.0, metavar="S", help="default: %(default)s")
    options.add_argument(
        "--output",
        type=Path,
        default=_ROOT / "bench" / "results" / "watch.json",
        metavar="FILE",
        help="where the figures go (default: bench/results/watch.json)",
    )
    return options


def main(arguments: Sequence[str] | None = None) -> int:
    args = parser().parse_args(arguments)
    console = Console(highlight=False, soft_wrap=True)
    cores = choose_cores()
    try:
        source = talks.find(())
        run = asyncio.run(measure(args, source.paths[0], cores))
    except (talks.NoTalks, ServerFailed, RedisMissing) as error:
        sys.stderr.write(f"bench.watch: {error}\n")
        return 2
    figures = {f"p{q:g}": round(float(np.percentile(run.late_ms, q)), 2) for q in (50, 95, 99, 99.9)}
    figures["max"] = round(max(run.late_ms), 2)
    table = Table("sessions", "watchers", "events said", "heard", *figures, title="ms, serialised to heard")
    table.add_row(
        str(args.sessions), str(args.watchers), str(run.said), str(run.heard), *map(str, figures.values())
    )
    console.print(table)
    driver = {f"p{q:g}": round(float(np.percentile(run.driver_ms, q)), 2) for q in (50, 95, 99)}
    console.print(f"the driver's own timer was late by {driver} ms: what the machine adds to each process")
    complete = run.heard == run.expected
    if not complete:
        console.print(f"! {run.heard} events were heard, not {run.expected}")
    if figures["p99"] > _WANTED_P99_MS:
        console.print(f"! p99 is above the {_WANTED_P99_MS:g} ms that we want")
    document = {
        "said": run.said,
        "heard": run.heard,
        "late_ms": figures,
        "driver_ms": driver,
        "versions": versions(),
    }
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    return 0 if complete else 1


if __name__ == "__main__":
    sys.exit(main())
