"""What the ring gives back is what was given to it, as far as it is there still."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from affectstream.ring import Ring


def ring(capacity: int = 100) -> Ring:
    return Ring(2, capacity)


def pcm(first: int, count: int) -> bytes:
    """Samples that hold their own position."""
    return b"".join(position.to_bytes(2, "little") for position in range(first, first + count))


def read_all(kept: Ring, position: int = 0, most: int = 7) -> dict[int, bytes]:
    """Every sample from `position` on, by its position, read in small pieces."""
    found: dict[int, bytes] = {}
    while position < kept.end:
        start, data = kept.read(position, kept.end, most)
        assert len(data) <= 2 * most
        found |= {start + i: data[2 * i : 2 * i + 2] for i in range(len(data) // 2)}
        position = start + len(data) // 2
    return found


def test_the_oldest_falls_out() -> None:
    kept = ring(100)
    for position in range(0, 240, 8):
        kept.add(pcm(position, 8))
    assert (kept.start, kept.end) == (140, 240)
    assert read_all(kept) == {p: pcm(p, 1) for p in range(140, 240)}


def test_what_is_longer_than_the_ring_leaves_its_end() -> None:
    kept = ring(100)
    kept.add(pcm(0, 1_000))
    assert (kept.start, kept.end) == (900, 1_000)
    assert read_all(kept) == {p: pcm(p, 1) for p in range(900, 1_000)}


def test_an_overlap_is_kept_once_and_a_hole_stays_one() -> None:
    kept = ring()
    kept.add(pcm(0, 10))
    kept.add(pcm(5, 10), 5)
    kept.add(pcm(30, 5), 30)
    kept.jump(50)
    kept.jump(40)
    kept.add(pcm(50, 5))
    assert kept.end == 55
    assert sorted(read_all(kept)) == [*range(15), *range(30, 35), *range(50, 55)]
    assert kept.read(20, 55, 100) == (30, pcm(30, 5))
    assert kept.read(20, 25, 100) == (25, b""), "nothing lies there"
    assert kept.read(32, 34, 100) == (32, pcm(32, 2))


def test_what_follows_a_jump_is_not_taken_for_what_follows_the_audio_before() -> None:
    kept = ring(1_000)
    kept.add(pcm(0, 10))
    kept.jump(20)
    kept.add(pcm(20, 10))
    assert read_all(kept) == {p: pcm(p, 1) for p in (*range(10), *range(20, 30))}


@given(
    st.lists(st.tuples(st.sampled_from(["next", "back", "ahead", "jump"]), st.integers(0, 60)), max_size=60),
    st.integers(1, 120),
)
def test_against_a_plain_model(steps: list[tuple[str, int]], capacity: int) -> None:
    kept = ring(capacity)
    model: dict[int, bytes] = {}
    end = 0
    for kind, count in steps:
        if kind == "jump":
            end += count
            kept.jump(end)
            continue
        start = {"next": end, "back": max(0, end - count // 2), "ahead": end + count}[kind]
        kept.add(pcm(start, count), None if kind == "next" else start)
        model |= {p: pcm(p, 1) for p in range(start, start + count) if p >= end}
        end = max(end, start + count) if count else end
        model = dict(sorted(model.items())[-capacity:])
    assert kept.end == end
    assert read_all(kept) == model
    if model and kept.start:
        assert kept.start == min(model)
