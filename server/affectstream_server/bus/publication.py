"""One session's way to its watchers."""

from __future__ import annotations

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.bus import cursor
from affectstream_server.bus.bus import Bus
from affectstream_server.bus.entry import Entry, Subject, new_incarnation
from affectstream_server.stages.withhold import has_values, may_go


class Publication:
    """Made when a session begins, before its first event is serialised."""

    def __init__(self, bus: Bus, tenant: str, session_id: str) -> None:
        self._bus = bus
        self._subject = Subject(tenant, session_id, new_incarnation())
        self.closed = False
        """The session's last event was published."""

    def cursor(self, epoch: int, sequence: int) -> bytes:
        """Of the session's event at that place."""
        return cursor.of_session(self._subject.incarnation, (epoch, sequence))

    def publish(self, event: pb.SessionEvent, response: bytes, *, last: bool) -> None:
        """The event, and it in its response as it goes to the stream. ``last``: the session says no more.

        What a stream is told that continues a session which is over is its own: watchers heard the end.
        """
        if self.closed:
            return
        self.closed = last
        self._bus.publish(self._subject, entry_of(event, response, self._subject.incarnation, last=last))

    def withhold(self) -> None:
        """Consent was withdrawn: take the values out of what is retained."""
        self._bus.withhold(self._subject)


def entry_of(event: pb.SessionEvent, response: bytes, incarnation: bytes, *, last: bool) -> Entry:
    """What is retained of an event; never a secret."""
    if event.HasField("session_started") and event.session_started.resume_token:
        told = pb.SessionEvent()
        told.CopyFrom(event)
        told.session_started.ClearField("resume_token")
        response = pb.WatchAffectResponse(event=told).SerializeToString()
    return Entry(
        incarnation=incarnation,
        epoch=event.epoch,
        sequence=event.sequence,
        sealed_ms=event.server_time.ToMilliseconds(),
        data=response,
        may_go=may_go(event),
        has_values=has_values(event),
        is_last=last,
    )
