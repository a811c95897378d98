"""What is to be sent, in order. Small pieces of audio are gathered on the way.

At 16 kHz the server decides on whole blocks of 32 ms, so audio that completes no block can wait for the
audio that does, and no decision comes later for it. Other rates pass a resampler there, whose blocks
are not known here: their audio is gathered up to 20 ms.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final

from affectstream import errors, writing
from affectstream.config import AudioFormat
from affectstream.contract import BLOCK_SAMPLES, SAMPLE_RATE_HZ
from affectstream.pcm import chunks
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import Call

OTHER_RATES_MS: Final = 20
"""How much is gathered by default at other rates than 16 kHz."""
HOLD_S: Final = 0.04
"""How long gathered audio waits by default where no more comes."""


@dataclass(slots=True)
class _Audio:
    start: int | None
    """Position of its first sample, where it does not follow the audio before."""
    data: bytearray


class Outbox:
    """Requests on their way to gRPC, written by one task.

    What is added goes out in the order of the calls that add it, whichever tasks they are made by.
    A cancelled `drain` leaves the writing to go on: nothing is lost, sent twice or torn.
    """

    def __init__(self, call: Call, audio: AudioFormat, coalesce_ms: int | None) -> None:
        self._call = call
        self._audio = audio
        self._queue: deque[_Audio | pb.StreamAffectRequest | None] = deque()
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        blocks = coalesce_ms is None and audio.sample_rate_hz == SAMPLE_RATE_HZ
        gather_ms = OTHER_RATES_MS if coalesce_ms is None else coalesce_ms
        self._step = BLOCK_SAMPLES if blocks else audio.sample_rate_hz * gather_ms // 1_000
        self._aligned = blocks
        self._hold_s = HOLD_S if coalesce_ms is None else coalesce_ms / 1_000
        self._origin = 0
        """Where the server's blocks, or what is gathered here, begin to count."""
        self.position = 0
        """After the newest audio, in samples; compressed audio does not count."""

    def add_audio(self, data: bytes, start: int | None = None) -> bool:
        """Add some audio, at position `start` or after the audio before. True: `drain` is due now."""
        frame_bytes = self._audio.frame_bytes
        if not data:
            return False
        if frame_bytes is None:
            self._queue.append(_Audio(start, bytearray(data)))
            return True
        if start == self.position:
            start = None
        before = self.position
        end = (before if start is None else start) + len(data) // frame_bytes
        self.position = max(before, end)
        if start is not None:
            self._queue.append(_Audio(start, bytearray(data)))
            if start > before:
                self._origin = start
            return True
        last = self._queue[-1] if self._queue else None
        if isinstance(last, _Audio) and last.start is None:
            last.data += data
        else:
            self._queue.append(_Audio(None, bytearray(data)))
        if self._is_whole(before):
            return True
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._hold_s, self._start)
        return False

    def add(self, request: pb.StreamAffectRequest) -> None:
        """Add something that is not audio."""
        self._queue.append(request)

    def add_close(self) -> None:
        """Say, after all else, that no more comes."""
        self._queue.append(None)

    def jump(self, position: int) -> None:
        """The audio goes on at `position`, unless it is there already."""
        if position > self.position:
            self.position = self._origin = position

    def align(self, origin: int) -> None:
        """The server's blocks begin to count at `origin`, before the newest audio."""
        self._origin = origin

    async def drain(self) -> None:
        """Write all that was added. Returns when gRPC has taken it.

        Raises:
            WriteFailed: the call has ended or is ending.
            Cancelled: the call was cancelled.
        """
        self._start()
        task = self._task
        if task is None:
            return
        await asyncio.wait({task})
        if task.cancelled():
            raise errors.Cancelled("the call was cancelled by another task, or its client was closed")
        task.result()

    async def close(self) -> None:
        """Forget what was not written. The call must have been cancelled or have ended."""
        self._queue.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _is_whole(self, before: int) -> bool:
        """Audio up to `before` did not have to go out, and now it does."""
        if self._step == 0:
            return True
        if self._aligned:
            return (self.position - self._origin) // self._step > (before - self._origin) // self._step
        return self.position - self._origin >= self._step

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self._aligned:
            self._origin = self.position
        if self._queue and (self._task is None or self._task.done()):
            self._task = asyncio.get_running_loop().create_task(self._write_all())
            self._task.add_done_callback(_seen)

    async def _write_all(self) -> None:
        try:
            while self._queue:
                item = self._queue.popleft()
                if isinstance(item, _Audio):
                    await self._write_audio(item)
                elif item is None:
                    await writing.close(self._call)
                else:
                    await writing.write(self._call, item)
        except (writing.WriteFailed, errors.Cancelled):
            self._queue.clear()
            raise

    async def _write_audio(self, audio: _Audio) -> None:
        start, frame_bytes = audio.start, self._audio.frame_bytes
        for data in chunks(bytes(audio.data), self._audio):
            chunk = pb.AudioChunk(data=data, start_samples=start)
            await writing.write(self._call, pb.StreamAffectRequest(audio=chunk))
            if start is not None and frame_bytes is not None:
                start += len(data) // frame_bytes


def _seen(task: asyncio.Task[None]) -> None:
    """A failure is told to whoever sends next; one that a timer met first is no news to the loop."""
    if not task.cancelled():
        task.exception()
