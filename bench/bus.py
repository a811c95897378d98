"""What an event costs Redis: `python -m bench.bus`.

The server's own bus publishes events of many sessions to a Redis of its own, paced in real time; an event's
cost is Redis' user and system time over the events that it took. Nobody watches.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import secrets
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from affectstream_server.bus.bus import Bus
from affectstream_server.bus.entry import Entry, Subject
from affectstream_server.bus.open import open_bus
from affectstream_server.settings_bus import BusSettings
from bench import report
from bench.machine import versions
from bench.options import within
from tools.redis_server import RedisMissing, RedisServer

_ROOT: Final = Path(__file__).resolve().parent.parent
_TURN_S: Final = 0.01
_PUBLISHED_S: Final = 60.0
_TENANTS: Final = 10


async def _say(bus: Bus, sessions: int, per_s: int, seconds: float, data: bytes) -> int:
    """Publish at a rate, session by session, and wait until Redis has it all. Returns how many."""
    subjects = [
        Subject(f"tenant-{number % _TENANTS}", f"session-{number}", secrets.token_bytes(12))
        for number in range(sessions)
    ]
    turns = itertools.cycle(subjects)
    sequences = dict.fromkeys(subjects, 0)
    began = time.monotonic()
    said = 0
    while (spent := time.monotonic() - began) < seconds:
        while said < spent * per_s:
            subject = next(turns)
            sequences[subject] += 1
            entry = Entry(subject.incarnation, 1, sequences[subject], time.time_ns() // 1_000_000, data)
            bus.publish(subject, entry)
            said += 1
        await asyncio.sleep(_TURN_S)
    async with asyncio.timeout(_PUBLISHED_S):
        while bus.state.behind:  # noqa: ASYNC110 - the bus tells nobody when it is done
            await asyncio.sleep(_TURN_S)
    return said


async def measure(sessions: int, per_s: int, seconds: float, event_bytes: int) -> dict[str, Any]:
    """One run, with a fresh Redis. Raises `RedisMissing`, or `TimeoutError` where it does not keep up."""
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder) / "redis")
        redis.start()
        try:
            process = psutil.Process(redis.pid)
            bus = open_bus(BusSettings(url=redis.url))
            assert bus is not None  # noqa: S101 - events are retained by default
            bus.start()
            try:
                await _say(bus, sessions, per_s, 0.5, bytes(event_bytes))
                before = process.cpu_times()
                said = await _say(bus, sessions, per_s, seconds, bytes(event_bytes))
                after = process.cpu_times()
            finally:
                await bus.close()
        finally:
            redis.kill()
    spent_s = after.user + after.system - before.user - before.system
    return {
        "sessions": sessions,
        "events": said,
        "event_bytes": event_bytes,
        "redis_us_per_event": round(spent_s / said * 1e6, 1),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.bus", description=__doc__)
    parser.add_argument("--sessions", type=within(int, 1, 100_000), default=500, metavar="N")
    parser.add_argument("--per-s", type=within(int, 1, 100_000), default=1_000, metavar="N", help="events")
    parser.add_argument("--seconds", type=within(float, 0.5, 600), default=10.0, metavar="S")
    parser.add_argument("--event-bytes", type=within(int, 1, 65_536), default=250, metavar="N")
    parser.add_argument("--output", type=Path, default=_ROOT / "bench/results/bus.json", metavar="FILE")
    args = parser.parse_args(arguments)
    try:
        found = asyncio.run(measure(args.sessions, args.per_s, args.seconds, args.event_bytes))
    except (RedisMissing, TimeoutError) as error:
        sys.stderr.write(f"bench.bus: {error or 'Redis did not keep up'}\n")
        return 2
    report.write({"versions": versions(), **found}, args.output)
    sys.stdout.write(f"{found['redis_us_per_event']} us of Redis' core an event, over {found['events']}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
