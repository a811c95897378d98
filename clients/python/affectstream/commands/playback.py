"""Audio to a stream at a pace, events to a display, until both have ended."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import aclosing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from affectstream.commands import InputError
from affectstream.commands.sources import Source
from affectstream.errors import AffectStreamError, Cancelled, StreamClosed, TimedOut
from affectstream.events import AffectEvent, Event, SpeechEnded
from affectstream.states import NewSession
from affectstream.stream import AffectStream
from affectstream.values import NS_PER_S, AudioTime

T = TypeVar("T")

INTERRUPT_GRACE_S: Final = 5.0
"""How long the last finals are waited for after Ctrl-C."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event, and for a final of a paced stream how late it came."""

    event: Event
    lag_ms: float | None = None
    """From the moment when the audio that made the endpoint decidable was due to be sent until the
    final event was here, wall clock. None: not a final, or the audio was not paced."""


class Display(Protocol):
    """Shows a session as it goes on."""

    def heard(self, heard: Heard) -> None:
        """An event came."""

    def sent(self, position_s: float) -> None:
        """Audio was sent up to this position, in seconds."""

    def close(self) -> None:
        """Nothing more will come."""


@dataclass
class Player:
    """Plays a source into a stream.

    The pace is an open loop: frame i is due at its position over `speed` after the first, whatever
    became of the frames before, so that a slow server shows as lag and never slows the clock.
    """

    stream: AffectStream
    source: Source
    display: Display
    speed: float
    """1 is real time; 0 is as fast as the server takes it."""
    frame_ms: int
    _interrupted: asyncio.Event = field(default_factory=asyncio.Event, init=False)
    _decidable: dict[str, AudioTime] = field(default_factory=dict, init=False)
    _start_s: float = field(default=0.0, init=False)
    _origin: AudioTime = field(default=AudioTime(0), init=False)
    _receiving: asyncio.Timeout | None = field(default=None, init=False)

    @property
    def _frame_samples(self) -> int:
        return max(1, self.source.audio.sample_rate_hz * self.frame_ms // 1000)

    @property
    def _paced(self) -> bool:
        return self.speed > 0 and not self.source.live

    def interrupt(self) -> None:
        """End the audio here; what was said so far still gets its finals."""
        self._interrupted.set()
        self.source.stop()
        if self._receiving is not None:
            self._receiving.reschedule(asyncio.get_running_loop().time() + INTERRUPT_GRACE_S)

    async def run(self) -> None:
        """Play to the end.

        Raises:
            AffectStreamError: the stream failed.
            InputError: the source failed.
            BrokenPipeError: nobody reads what the display writes.
        """
        try:
            async with asyncio.TaskGroup() as tasks:
                sender = tasks.create_task(self._send_while_open())
                await self._receive()
                sender.cancel()  # the server closed the stream before the audio ended
        except* (AffectStreamError, InputError, BrokenPipeError) as group:
            raise _cause(group) from None

    async def _send_while_open(self) -> None:
        with suppress(StreamClosed):  # the events say why
            await self._send()

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        rate_hz, frame_samples = self.source.audio.sample_rate_hz, self._frame_samples
        frame_bytes = self.source.audio.frame_bytes or 1
        sent_samples = 0
        self._start_s = loop.time()
        async with aclosing(self.source.frames(frame_samples)) as frames:
            async for frame in frames:
                if self._paced:
                    await self._wait_until(self._start_s + sent_samples / rate_hz / self.speed)
                if self._interrupted.is_set():
                    break
                await self.stream.send(frame)
                sent_samples += len(frame) // frame_bytes
                self.display.sent(sent_samples / rate_hz)
        await self.stream.end()

    async def _wait_until(self, due_s: float) -> None:
        try:
            async with asyncio.timeout_at(due_s):
                await self._interrupted.wait()
        except TimeoutError:
            return

    async def _receive(self) -> None:
        try:
            async with asyncio.timeout(None) as self._receiving:
                async for event in self.stream:
                    if isinstance(event, SpeechEnded) and event.decidable_at is not None:
                        self._decidable[event.utterance_id] = event.decidable_at
                    elif isinstance(event, NewSession):
                        self._origin = event.origin
                    self.display.heard(Heard(event, self._lag_ms(event)))
        except TimeoutError:
            raise TimedOut(f"the last events did not come within {INTERRUPT_GRACE_S:g} s") from None
        finally:
            self._receiving = None

    def _lag_ms(self, event: Event) -> float | None:
        if not (self._paced and isinstance(event, AffectEvent) and event.is_final):
            return None
        decidable = self._decidable.pop(event.utterance_id, None)
        if decidable is None:
            return None
        frame_ns = self._frame_samples * NS_PER_S / self.source.audio.sample_rate_hz
        frame = max(self._origin.ns + decidable.ns - 1, 0) // frame_ns
        due_s = self._start_s + frame * frame_ns / NS_PER_S / self.speed
        return (asyncio.get_running_loop().time() - due_s) * 1000


def _cause(group: BaseExceptionGroup[Exception]) -> Exception:
    """The error that the others of a group follow from."""
    leaves = [error for error in group.exceptions if not isinstance(error, BaseExceptionGroup)]
    first = [error for error in leaves if not isinstance(error, Cancelled | StreamClosed)]
    return (first or leaves)[0]


@contextmanager
def ctrl_c(first: Callable[[], None]) -> Iterator[None]:
    """Inside it the first Ctrl-C calls `first`, and the second cancels the current task."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    pressed = 0

    def interrupted() -> None:
        nonlocal pressed
        pressed += 1
        if pressed == 1:
            first()
        elif task is not None:
            task.cancel()

    loop.add_signal_handler(signal.SIGINT, interrupted)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGINT)


def run_async(main: Coroutine[None, None, T]) -> T:
    """Run a command's coroutine; a cancellation that ends it is the user's second Ctrl-C."""
    try:
        return asyncio.run(main)
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
