"""What a stream asks of its way to the server, be it one call or many in a row."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from affectstream import errors
from affectstream.events import Event, SessionStarted
from affectstream.states import State
from affectstream.v1 import affect_pb2 as pb


class Answers(Protocol):
    """Events that came and were not handed out yet."""

    events: deque[Event]
    ended: bool
    """No more will come."""
    error: errors.AffectStreamError | None
    """Why, where that is an error."""

    async def more(self) -> None:
        """Wait until there is something new. Raises `ResourceExhausted`: too many events wait."""

    def take(self) -> Event:
        """The next event."""


class Line(Protocol):
    """Opened once, closed once."""

    @property
    def inbox(self) -> Answers:
        """What comes back. Raises `RuntimeError` before `open`."""

    @property
    def position(self) -> int:
        """After the newest audio, in samples. Raises `RuntimeError` before `open`."""

    @property
    def started(self) -> SessionStarted:
        """The newest. Raises `RuntimeError` before `open`."""

    @property
    def state(self) -> State:
        """How it stands. Raises `RuntimeError` before `open`."""

    @property
    def lost_samples(self) -> int:
        """Audio that no server will hear, in samples of every channel."""

    async def open(self, heard: Callable[[Event], None]) -> SessionStarted:
        """Begin. `heard` is told of each later event before it can be read."""

    async def send(self, data: bytes, start: int | None) -> None:
        """Send some audio, which stands at `start` or after the audio before."""

    async def control(self, control: pb.Control) -> None:
        """Send a control after the audio given so far."""

    async def end(self) -> None:
        """Say that all audio was sent. Said once, however often it is called."""

    def cancel(self) -> None:
        """End what is under way."""

    async def close(self) -> None:
        """Forget what was not sent or handed out, after `cancel` or the end."""
