"""How the line to the server stands, as events among those of the server.

    Connected                     the first call stands
    ├── Resumed                   another call continues the session; `lost` is what the ring had no more
    └── NewSession                the session was lost, and another has begun
    Reconnecting                  the call was lost; the next attempt is under way or planned
    SessionLost                   the server has the session no more
    Ended                         it is over; only `AffectStream.state` shows it
    AudioLost                     (no state) audio came faster than a line that had to catch up took it

Their `sequence` is 0, their `server_time` None: the server did not say them.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from affectstream.errors import AffectStreamError
from affectstream.events import Event
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import AudioTime


@dataclass(frozen=True, slots=True)
class Lost:
    """Audio that was given to `send` and that no server will hear."""

    start_samples: int
    """Its first sample, in samples of every channel at the declared rate, as `AffectStream.position_samples`
    counts."""
    end_samples: int
    """Exclusive."""
    seconds: float
    """The same, in seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalEvent(Event):
    """Said by this client. `session_id` is that of the newest session."""

    epoch: int = 0
    sequence: int = 0
    server_time: datetime | None = None
    channel: int | None = None
    cursor: bytes = field(default=b"", repr=False)
    proto: pb.SessionEvent = field(default_factory=pb.SessionEvent, repr=False, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioLost(LocalEvent):
    """The ring was full before a new call had caught up."""

    lost: Lost
    """What fell out of the ring."""


@dataclass(frozen=True, slots=True, kw_only=True)
class State(LocalEvent):
    """How the line stands from here on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Connected(State):
    """A call stands. Not among the events: `SessionStarted` is the first of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumed(Connected):
    """A new call continues the session. `SessionStarted` follows, then what was missed."""

    attempts: int
    """How many it took, from 1."""
    outage_s: float
    """Wall clock without a call."""
    lost: Lost | None
    """The hole in the timeline, which the server reports as a `Gap`; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NewSession(Connected):
    """A new session takes the place of one that was lost. Its own `SessionStarted` follows.

    It hears again what had no final event and is still in the ring. Its timeline begins at 0 and its
    `sequence` at 1; what is given to `send` and to controls counts on as before.
    """

    previous_session_id: str
    """The session that was lost."""
    origin_samples: int
    """Position of its first sample as the caller counts: position 0 of its events."""
    origin: AudioTime
    """The same as a time: to be added to positions in its events where one timeline is wanted."""
    attempts: int
    """How many it took, from 1."""
    outage_s: float
    """Wall clock without a call."""
    lost: Lost | None
    """Audio without a final event that the ring had no more; None: there is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconnecting(State):
    """The call was lost. Audio is kept in the ring meanwhile."""

    attempt: int
    """The number of the next one, from 1."""
    cause: AffectStreamError
    """Why the call, or the attempt before, failed."""
    next_try_s: float
    """Seconds from now until the attempt is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLost(State):
    """The server has the session no more: it was restarted, drained, or the call was away for too long."""

    cause: AffectStreamError
    """Why the server has it no more."""
    unfinished: tuple[str, ...]
    """Ids of utterances that had begun and get no final event under these ids."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(State):
    """Nothing more comes, and nothing more is sent."""

    cause: AffectStreamError | None
    """None: the session ended well, or was left."""
