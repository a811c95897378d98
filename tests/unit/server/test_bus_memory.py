"""What is retained: bounded by number, age and memory, and a cursor is a cursor or is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.bus import cursor
from affectstream_server.bus.cursor import BadCursor
from affectstream_server.bus.entry import Entry, FallenOut, Subject, new_incarnation
from affectstream_server.bus.log import Logs
from affectstream_server.bus.open import open_bus
from affectstream_server.bus.redis_entry import marks_of, placed_of
from affectstream_server.section import SettingsError
from affectstream_server.settings import load
from affectstream_server.settings_bus import BusSettings

MIB = 1024 * 1024


def said(sequence: int, *, size: int = 10, at_ms: int = 0, last: bool = False) -> Entry:
    return Entry(b"i" * 12, 1, sequence, at_ms, b"x" * size, is_last=last)


def sequences(logs: Logs, subject: Subject) -> list[int]:
    log = logs.get(subject)
    return [] if log is None else [entry.sequence for _, entry in log.entries]


def test_a_log_holds_so_many_events_and_says_what_fell_out() -> None:
    logs, subject = Logs(3, 1_000, MIB), Subject("t", "s", b"i")
    for sequence in range(1, 6):
        log = logs.append(subject, (1, sequence), said(sequence))
    assert [position for position, _ in log.after((1, 2), 10)] == [(1, 3), (1, 4), (1, 5)]
    assert [position for position, _ in log.after((1, 3), 1)] == [(1, 4)]
    assert log.after((1, 5), 10) == []
    with pytest.raises(FallenOut) as caught:
        log.after((1, 1), 10)
    assert caught.value.floor == (1, 2)


def test_what_is_too_old_goes_and_with_it_what_has_ended() -> None:
    logs, over, open_ = Logs(10, 1_000, MIB), Subject("t", "over", b"i"), Subject("t", "open", b"i")
    logs.append(over, (1, 1), said(1, at_ms=100, last=True))
    logs.append(open_, (1, 1), said(1, at_ms=100))
    logs.append(open_, (1, 2), said(2, at_ms=900))
    assert logs.prune(1_000) == []
    assert {log.subject for log in logs.prune(1_101)} == {over, open_}
    assert (logs.get(over), sequences(logs, open_)) == (None, [2])
    logs.prune(5_000)
    assert logs.get(open_) is not None, "it goes on, and is to be found"


def test_memory_is_bounded_and_who_was_quiet_longest_gives_way() -> None:
    logs = Logs(1_000, 1_000, MIB)
    quiet, loud = Subject("t", "quiet", b"i"), Subject("t", "loud", b"i")
    logs.append(quiet, (1, 1), said(1, size=1_000))
    for sequence in range(1, 500):
        logs.append(loud, (1, sequence), said(sequence, size=10_000))
    kept = sequences(logs, loud)
    assert sequences(logs, quiet) == []
    assert 90 < len(kept) <= MIB // 10_000
    assert kept[-1] == 499


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_cursors_come_back_as_they_were(epoch: int, sequence: int) -> None:
    incarnation = new_incarnation()
    assert cursor.session_position(cursor.of_session(incarnation, (epoch, sequence))) == (
        incarnation,
        (epoch, sequence),
    )
    assert cursor.tenant_position(cursor.of_tenant((epoch, sequence))) == (epoch, sequence)


@given(st.binary(max_size=40))
def test_what_is_no_cursor_is_refused(data: bytes) -> None:
    ours = data[:1] in (b"s", b"t")
    for read in (cursor.session_position, cursor.tenant_position):
        try:
            read(data)
        except BadCursor:
            continue
        assert ours


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=200))
def test_a_response_gets_another_cursor_and_nothing_else_changes(first: bytes, second: bytes) -> None:
    event = pb.SessionEvent(session_id="s", sequence=7, cursor=first, progress=pb.Progress())
    told = cursor.with_cursor(pb.WatchAffectResponse(event=event).SerializeToString(), second)
    event.cursor = second
    assert pb.WatchAffectResponse.FromString(told).event == event


@given(st.booleans(), st.booleans(), st.booleans(), st.booleans())
def test_an_event_comes_back_from_redis_as_it_went(go: bool, values: bool, last: bool, other: bool) -> None:
    entry = Entry(b"i" * 12, 2, 9, 123, b"data", go, values, last, by_another=other)
    fields = {b"m": marks_of(entry).encode(), b"d": entry.data}
    assert placed_of(Subject("t", "s", b"i" * 12), (b"2-9", fields)) == ((2, 9), entry)
    fields |= {b"i": entry.incarnation.hex().encode(), b"p": b"2-9"}
    assert placed_of(Subject("t"), (b"1700000000000-3", fields)) == ((1_700_000_000_000, 3), entry)


@pytest.mark.parametrize(
    "url",
    ["http://x:1/0", "redis://", "redis://u:hunter2@h:99999/0", "hunter2", "redis://u:hunter2@h:port/0"],
)
def test_a_bad_address_is_refused_and_never_shown(url: str) -> None:
    with pytest.raises(SettingsError, match=r"bus\.url") as caught:
        load(environ={"AFFECTSTREAM_BUS__URL": url})
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("bus", [["redis://u:hunter2@h/0"], {"url": ["redis://u:hunter2@h/0"]}, "hunter2"])
def test_no_message_shows_a_secret_whatever_else_is_wrong(bus: object) -> None:
    with pytest.raises(SettingsError) as caught:
        load(environ={}, overrides={"bus": bus})
    assert "hunter2" not in str(caught.value)


def test_settings_as_they_are_printed_hold_no_secret() -> None:
    settings = load(environ={"AFFECTSTREAM_BUS__URL": "redis://user:hunter2@host/0"})
    assert "hunter2" not in str(settings.model_dump(mode="json"))
    assert "hunter2" not in repr(settings)


def test_nothing_retained_is_no_bus() -> None:
    assert open_bus(BusSettings(retention_events=0)) is None
