"""What is said of a session whose process cannot say it any more."""

from __future__ import annotations

import time
from collections.abc import Sequence

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.bus import cursor
from affectstream_server.bus.entry import Entry, Position, Subject, now_ms


def last_word(subject: Subject, entries: Sequence[Entry], end: Position) -> Entry:
    """That the session was abandoned after ``end``, and which utterance was open."""
    open_id = ""
    for entry in entries:
        event = pb.WatchAffectResponse.FromString(entry.data).event
        if event.HasField("speech_started"):
            open_id = event.speech_started.utterance_id
        elif event.HasField("speech_ended") and event.speech_ended.utterance_id == open_id:
            open_id = ""
    epoch, sequence = end[0], end[1] + 1
    closed = pb.SessionClosed(reason=pb.CLOSE_REASON_ABANDONED, open_utterance_id=open_id)
    event = pb.SessionEvent(
        session_id=subject.session_id,
        epoch=epoch,
        sequence=sequence,
        cursor=cursor.of_session(subject.incarnation, (epoch, sequence)),
        session_closed=closed,
    )
    event.server_time.FromNanoseconds(time.time_ns())
    return Entry(
        incarnation=subject.incarnation,
        epoch=epoch,
        sequence=sequence,
        sealed_ms=now_ms(),
        data=pb.WatchAffectResponse(event=event).SerializeToString(),
        is_last=True,
        by_another=True,
    )
