"""When a lost call is tried again: delays in virtual time, and what helps against what."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

from affectstream import AudioEncoding, AudioFormat, Outputs, Reconnect, StreamConfig, errors
from affectstream.reconnect import Backoff, Remedy, remedy

LOST = errors.ServerUnavailable("the connection to the server was lost")


def delays(policy: Reconnect, chance: float, count: int) -> list[float | None]:
    """The first delays, where every attempt fails at once."""
    backoff, now_s, found = Backoff(policy, lambda: chance), 100.0, []
    for _ in range(count):
        delay_s = backoff.next_delay_s(now_s, LOST)
        found.append(delay_s)
        now_s += delay_s or 0.0
    return found


def test_delays_double_up_to_a_limit_and_are_spread_over_all_of_it() -> None:
    policy = Reconnect(first_delay_s=0.5, max_delay_s=3, give_up_after_s=math.inf)
    assert delays(policy, 1.0, 5) == [0.5, 1.0, 2.0, 3.0, 3.0]
    assert delays(policy, 0.25, 4) == [0.125, 0.25, 0.5, 0.75]
    assert delays(policy, 0.0, 3) == [0, 0, 0]
    assert delays(policy, 1.0, 2_000)[-1] == 3.0, "however often"


def test_it_gives_up_after_its_time_and_not_before() -> None:
    policy = Reconnect(first_delay_s=1, max_delay_s=1, give_up_after_s=10)
    assert delays(policy, 1.0, 12) == [1.0] * 10 + [None, None]
    backoff = Backoff(policy, lambda: 1.0)
    assert backoff.next_delay_s(0.0, LOST) == 1.0
    backoff.went_well()
    assert backoff.next_delay_s(1_000.0, LOST) == 1.0, "counted from what went well"


def test_it_gives_up_after_its_attempts() -> None:
    assert delays(Reconnect(attempts=2), 0.0, 3) == [0.0, 0.0, None]


def test_the_servers_own_delay_is_kept_and_jitter_comes_on_top() -> None:
    busy = errors.ResourceExhausted("full", reason="TOO_MANY_STREAMS", retry_after_s=2.0)
    backoff = Backoff(Reconnect(first_delay_s=0.5), lambda: 0.5)
    assert backoff.next_delay_s(0.0, busy) == 2.25


def test_a_server_that_asks_for_a_new_call_gets_it_at_once_and_only_once() -> None:
    aged = errors.ServerUnavailable("an hour old", reason="STREAM_AGE")
    backoff = Backoff(Reconnect(first_delay_s=0.5), lambda: 1.0)
    assert [backoff.next_delay_s(0.0, aged), backoff.next_delay_s(0.0, aged)] == [0.0, 1.0]


@pytest.mark.parametrize(
    ("cause", "helps"),
    [
        (LOST, Remedy.RESUME),
        (errors.ConnectError("nobody there"), Remedy.RESUME),
        (errors.TimedOut("late"), Remedy.RESUME),
        (errors.Cancelled("by a proxy"), Remedy.RESUME),
        (errors.ServerError("RST_STREAM"), Remedy.RESUME),
        (errors.ServerError("a fault", reason="INTERNAL_FAULT"), Remedy.RESUME),
        (errors.StreamClosed("too early"), Remedy.RESUME),
        (errors.ServerUnavailable("old", reason="STREAM_AGE"), Remedy.RESUME_NOW),
        (errors.ServerUnavailable("going", reason="DRAINING", retry_after_s=1), Remedy.NEW_SESSION),
        (errors.NotFound("gone", reason="SESSION_NOT_FOUND"), Remedy.NEW_SESSION),
        (errors.ResourceExhausted("8 h", reason="SESSION_AGE"), Remedy.NEW_SESSION),
        (errors.ResourceExhausted("full", reason="TOO_MANY_STREAMS", retry_after_s=1), Remedy.RESUME),
        (errors.ResourceExhausted("slow", reason="SLOW_READER"), Remedy.STOP),
        (errors.FailedPrecondition("taken", reason="RESUME_SUPERSEDED"), Remedy.STOP),
        (errors.Aborted("taken", reason="SUPERSEDED"), Remedy.STOP),
        (errors.InvalidRequest("wrong", reason="INVALID_FIELD"), Remedy.STOP),
        (errors.Unauthenticated("who?"), Remedy.STOP),
        (errors.PermissionDenied("no"), Remedy.STOP),
        (errors.Unimplemented("no", reason="NOT_SERVED"), Remedy.STOP),
        (errors.ProtocolError("no session_started"), Remedy.STOP),
    ],
    ids=lambda value: value.name if isinstance(value, Remedy) else type(value).__name__,
)
def test_what_helps(cause: errors.AffectStreamError, helps: Remedy) -> None:
    assert remedy(cause) is helps


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"ring_s": 0.5}, r"Reconnect.ring_s is 0.5, the limit is 1\.\.60"),
        ({"ring_s": math.nan}, "ring_s is nan"),
        ({"ring_s": 61}, "ring_s is 61"),
        ({"first_delay_s": 0}, "first_delay_s is 0, the limit is above 0"),
        ({"first_delay_s": 2, "max_delay_s": 1}, "max_delay_s is 1, the limit is at least 2"),
        ({"give_up_after_s": 0}, "give_up_after_s is 0, the limit is above 0"),
        ({"attempts": 0}, "attempts is 0, the limit is at least 1"),
    ],
)
def test_a_policy_that_cannot_hold_is_refused_by_name(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Reconnect(**arguments)


def test_compressed_audio_is_refused_by_name() -> None:
    config = StreamConfig(audio=AudioFormat(encoding=AudioEncoding.OGG_OPUS, sample_rate_hz=48_000))
    with pytest.raises(ValueError, match=r"reconnect needs PCM.*OGG_OPUS"):
        Reconnect().request(config)


def test_progress_comes_often_enough_for_the_ring() -> None:
    assert Reconnect().request(StreamConfig()).outputs.progress_interval_ms == 1_000
    assert Reconnect(ring_s=1).request(StreamConfig()).outputs.progress_interval_ms == 200
    own = StreamConfig(outputs=Outputs(progress_interval_ms=2_000))
    assert Reconnect().request(own).outputs.progress_interval_ms == 2_000
    with pytest.raises(ValueError, match=r"is 2000, the limit with Reconnect.ring_s 5 is 1000"):
        Reconnect(ring_s=5).request(own)


def test_attempts_are_counted() -> None:
    backoff = Backoff(Reconnect(), lambda: 0.0)
    counts = []
    for _ in itertools.repeat(None, 3):
        backoff.next_delay_s(0.0, LOST)
        counts.append(backoff.attempts)
    assert counts == [1, 2, 3]
