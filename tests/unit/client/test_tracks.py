"""Tracks that come one by one become channels of one timeline; nothing shifts and nothing piles up."""

from __future__ import annotations

import random

from affectstream.bridge.tracks import LAG_MS, Tracks

RATE_HZ = 8_000
SILENCE = 0xFF


def one(*pieces: tuple[bytes, int | None]) -> list[tuple[int, bytes]]:
    tracks = Tracks(("inbound",), RATE_HZ, SILENCE)
    return [found for data, at_ms in pieces for found in tracks.add("inbound", data, at_ms)] + tracks.rest()


def test_rough_clocks_shift_nothing() -> None:
    assert one((b"a" * 160, 1_000), (b"b" * 160, 1_023), (b"c" * 160, None)) == [
        (0, b"a" * 160),
        (160, b"b" * 160),
        (320, b"c" * 160),
    ]


def test_a_hole_is_one_and_what_came_twice_is_dropped() -> None:
    assert one((b"a" * 160, 0), (b"b" * 160, 500), (b"c" * 1_600, 360)) == [
        (0, b"a" * 160),
        (4_000, b"b" * 160),
        (4_160, b"c" * 320),
    ]


def test_a_silent_track_holds_the_other_up_for_a_moment_only() -> None:
    tracks = Tracks(("inbound", "outbound"), RATE_HZ, SILENCE)
    found = [x for i in range(100) for x in tracks.add("inbound", b"a" * 160, 20 * i)]
    assert sum(len(data) // 2 for _, data in found) == 100 * 160 - LAG_MS * 8
    assert all(data[1::2] == b"\xff" * (len(data) // 2) for _, data in found)


def test_two_tracks_in_any_order_are_the_same_two_channels() -> None:
    rng = random.Random(3)  # noqa: S311 - a test's order
    parts = [("inbound", b"a"), ("outbound", b"b")]
    tracks = Tracks(("inbound", "outbound"), RATE_HZ, SILENCE)
    found = []
    for i in range(50):
        rng.shuffle(parts)
        for name, byte in parts:
            found += tracks.add(name, byte * 160, 20 * i)
    found += tracks.rest()
    assert b"".join(data for _, data in found) == b"ab" * 50 * 160
    assert [at for at, _ in found] == [i * 160 for i in range(50)]


def test_a_far_time_stamp_costs_no_memory() -> None:
    tracks = Tracks(("inbound", "outbound"), RATE_HZ, SILENCE)
    tracks.add("inbound", b"a" * 160, 0)
    found = tracks.add("outbound", b"b" * 160, 10**12)
    assert found[0] == (0, b"a\xff" * 160)
    assert tracks.rest() == [(8 * 10**12, b"\xffb" * 160)]
