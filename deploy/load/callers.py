"""Callers without an end: the bundled talk at real time, on many streams.

python callers.py HOST:PORT [--streams N]; with --check: exit status 0 where finals came in the last minute.
"""

import argparse
import asyncio
import contextlib
import random
import sys
import tempfile
import time
from importlib.resources import files
from pathlib import Path

import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream
from affectstream.errors import AffectStreamError

TALK = str(files("affectstream") / "samples" / "talk.flac")
FRAME_S = 0.04
LAST_FINAL = Path(tempfile.gettempdir()) / "last-final"


class Callers:
    """``streams`` talks at once; who is refused or cut off comes back after a while."""

    def __init__(self, server: str, streams: int) -> None:
        self._server = server
        self._streams = streams
        self._talk, self._rate = soundfile.read(TALK, dtype="int16")
        self._finals = 0
        self._lost = 0

    async def run(self) -> None:
        async with AffectClient(self._server) as client, asyncio.TaskGroup() as tasks:
            for _ in range(self._streams):
                tasks.create_task(self._caller(client))
            tasks.create_task(self._tell())

    async def _caller(self, client: AffectClient) -> None:
        await asyncio.sleep(random.uniform(0, 10))  # noqa: S311 - not all at once
        while True:
            try:
                async with client.stream() as stream:
                    sending = asyncio.create_task(self._send(stream))
                    async for event in stream:
                        self._finals += isinstance(event, AffectEvent) and event.is_final
                    await sending
            except (AffectStreamError, OSError):
                self._lost += 1
            await asyncio.sleep(random.uniform(1, 5))  # noqa: S311

    async def _send(self, stream: AffectStream) -> None:
        step = round(FRAME_S * self._rate)
        began = time.monotonic()
        with contextlib.suppress(AffectStreamError):  # the reader tells
            for number, start in enumerate(range(0, len(self._talk), step)):
                await asyncio.sleep(began + number * FRAME_S - time.monotonic())
                await stream.send(self._talk[start : start + step])
            await stream.end()

    async def _tell(self) -> None:
        before = 0
        for number in range(sys.maxsize):
            await asyncio.sleep(1)
            if self._finals > before:
                before = self._finals
                await asyncio.to_thread(LAST_FINAL.touch)
            if number % 60 == 9:
                print(f"{self._finals} finals, {self._lost} streams lost", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("server", nargs="?", metavar="HOST:PORT", default="127.0.0.1:50551")
    parser.add_argument("--streams", type=int, default=10)
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        return int(not LAST_FINAL.exists() or time.time() - LAST_FINAL.stat().st_mtime > 60)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(Callers(args.server, args.streams).run())
    return 0


if __name__ == "__main__":
    sys.exit(main())
