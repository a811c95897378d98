"""One call of the driver: sends each frame when it is released, and keeps what comes back."""

from __future__ import annotations

import asyncio
import time
from array import array
from collections.abc import Awaitable, Callable

import grpc

from affectstream.status import to_error
from bench.channel import Call, Channel, Metadata
from bench.scenario import Schedule
from bench.talks import CONFIG, END_OF_AUDIO, NOT_SCORED


def metadata(token: str) -> Metadata:
    """What goes with a call that shows a token; empty: it shows none."""
    return (("authorization", f"Bearer {token}"),) if token else ()


class Stream:
    """Stream number ``number``, sending ``talk`` in a loop from the request at ``first``.

    The schedule's clock is `time.monotonic_ns`. Requests and responses stay bytes: events are few, and
    parsing can wait until nothing is timed any more.
    """

    def __init__(
        self,
        channel: Channel,
        number: int,
        schedule: Schedule,
        talk: list[bytes],
        first: int,
        *,
        metadata: Metadata = (),
    ) -> None:
        self.number = number
        self.received: list[tuple[int, bytes]] = []
        """Responses and when they came."""
        self.lateness_ns: array[int] = array("q")
        """Of each frame due in the window: handed to gRPC after it could have been."""
        self.blocked_frames = 0
        """Frames that fell due while gRPC still held back the one before: the server did not read."""
        self.failure = ""
        self.refusals: list[float | None] = []
        """Times that it was refused for want of room, each with the seconds that it was told to wait."""
        self._channel = channel
        self._schedule = schedule
        self._talk = talk
        self._first = first
        self._metadata = metadata
        self._released = 0
        self._wake: asyncio.Future[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def release(self, frame: int) -> None:
        """Frame ``frame``, counted from 0, is due; the first one opens the call."""
        self._released = frame + 1
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        elif self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def finished(self, timeout_s: float) -> None:
        """Wait for the call's end; one that is not over in time is cancelled and a failure."""
        if self._task is not None:
            _, late = await asyncio.wait([self._task], timeout=timeout_s)
            if late:
                self._task.cancel()
                await asyncio.wait([self._task])
                self.failure = f"not over {timeout_s:.0f} s after the end of its audio"

    async def _run(self) -> None:
        """One call, or none that was admitted: who is refused asks again when told, until the window ends."""
        _, end_ns = self._schedule.window_ns
        await self._converse(self._write)
        while self.refusals and self.refusals[-1]:
            again_ns = time.monotonic_ns() + round(self.refusals[-1] * 1e9)
            if again_ns >= end_ns:
                return
            await asyncio.sleep(self.refusals[-1])
            asked = len(self.refusals)
            await self._converse(self._ask)
            if len(self.refusals) == asked:
                self.failure = self.failure or "admitted where the server was full"
                return

    async def _converse(self, write: Callable[[Call], Awaitable[None]]) -> None:
        call = self._channel.open(self._metadata)
        reader = asyncio.get_running_loop().create_task(self._read(call))
        try:
            await write(call)
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass  # the call is over; its status says why
        except asyncio.CancelledError:
            call.cancel()
            await asyncio.wait([reader])
            raise
        await reader

    async def _ask(self, call: Call) -> None:
        """Only whether there is room."""
        await call.write(CONFIG)
        await call.done_writing()

    async def _write(self, call: Call) -> None:
        await call.write(CONFIG)
        if self._schedule.scenario.kind == "listen":
            await call.write(NOT_SCORED)
        talk, frames = self._talk, self._schedule.scenario.frames
        start_ns, end_ns = self._schedule.window_ns
        free_ns = 0
        for frame in range(frames):
            while self._released <= frame:
                self._wake = asyncio.get_running_loop().create_future()
                await self._wake
            due_ns = self._schedule.due_ns(self.number, frame)
            if start_ns <= due_ns < end_ns:
                self.blocked_frames += free_ns > due_ns
                self.lateness_ns.append(time.monotonic_ns() - max(due_ns, free_ns))
            await call.write(talk[(self._first + frame) % len(talk)])
            free_ns = time.monotonic_ns()
        await call.write(END_OF_AUDIO)
        await call.done_writing()

    async def _read(self, call: Call) -> None:
        try:
            async for response in call:
                self.received.append((time.monotonic_ns(), response))
        except (grpc.aio.AioRpcError, asyncio.CancelledError):
            pass  # looked at below: a call that the server ends early raises in either place
        code = await call.code()
        if code is grpc.StatusCode.RESOURCE_EXHAUSTED and self._schedule.scenario.max_streams:
            refused = to_error(code, await call.details() or "", await call.trailing_metadata())
            self.refusals.append(refused.retry_after_s)
            if not refused.retry_after_s:
                self.failure = "refused, and not told when to come again"
        elif code is not grpc.StatusCode.OK:
            self.failure = f"{code.name}: {await call.details()}"
