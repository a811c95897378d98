"""How long the check of a token takes says nothing of the tokens that are known.

Where secrets are compared byte by byte, a byte is told by some nanoseconds: far below what a clock shows in a
process of a busy machine, so that no statistic would fail. That is held by how the check is made; the clock
holds what it can show, that no kind of wrong token makes for more work, and a longer file for none. JWTs are
checked with public keys: there is no secret here to compare them with.
"""

from __future__ import annotations

import hashlib
import statistics
import time
from collections.abc import Callable
from contextlib import suppress
from typing import ClassVar

import pytest

from affectstream_server.auth import tokens
from affectstream_server.auth.refusal import NotAccepted

FEW, MANY = 10, 10_000
ROUNDS = 400
RATIO = 5.0
"""Between the slowest and the quickest; a search from one end of the file to the other has 100."""


def secret(number: int) -> str:
    return tokens.PREFIX + hashlib.sha256(str(number).encode()).hexdigest()[:43]


def table(count: int) -> tokens.Tokens:
    """As of a file with so many tokens."""
    hashes = (hashlib.sha256(secret(number).encode()).hexdigest() for number in range(count))
    return tokens.Tokens([tokens.Entry(name="a", tenant="b", sha256=sha256) for sha256 in hashes])


def altered(text: str, at: int) -> str:
    """Wrong in one place."""
    letters = list(text)
    letters[at] = "x" if letters[at] != "x" else "y"
    return "".join(letters)


class Key(bytes):
    """A key of the table that sees whom it is compared with."""

    compared: ClassVar[list[bytes]] = []

    def __eq__(self, other: object) -> bool:
        self.compared.append(bytes(self))
        return bytes(self) == other

    def __hash__(self) -> int:
        return super().__hash__()


@pytest.fixture
def keys(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """Every key that is made, as it is made."""
    made: list[bytes] = []
    key_of = tokens.Tokens._key

    def seen(self: tokens.Tokens, digest: bytes) -> bytes:
        made.append(bytes(key_of(self, digest)))
        return Key(made[-1])

    monkeypatch.setattr(tokens.Tokens, "_key", seen)
    Key.compared.clear()
    return made


@pytest.mark.fault("token")
def test_however_much_of_a_token_is_right_nothing_is_compared_with_it(keys: list[bytes]) -> None:
    """One hash of what came, one under a key of this process, one look, for each the same."""
    known = table(100)
    right = secret(50)
    wrong = [altered(right, at) for at in range(len(right))] + [right[:-1], right + "x", "", "x"]
    stored = list(keys)
    for token in wrong:
        before = len(keys)
        with pytest.raises(NotAccepted):
            known.identify(token)
        assert len(keys) == before + 1
    assert Key.compared == []
    assert known.identify(right)
    assert set(Key.compared) == {stored[50]}, "the right one with itself"
    assert not {key[:5] for key in keys[100:-1]} & {key[:5] for key in stored}, (
        "nor has a key their beginning"
    )


@pytest.mark.fault("token")
def test_what_is_looked_for_is_another_in_every_process(keys: list[bytes]) -> None:
    """So what a time might tell of one server's table helps nobody at another, or after a new start."""
    table(1)
    table(1)
    first, second = keys
    assert len(first) == len(second) == 32
    assert first != second
    assert hashlib.sha256(secret(0).encode()).digest() not in keys, "not the file's hash either"


@pytest.mark.fault("token")
def test_no_kind_of_wrong_token_takes_longer_however_many_are_known(figure: Callable[[str], None]) -> None:
    kinds = {
        (count, kind): (known, token)
        for count in (FEW, MANY)
        for known in [table(count)]
        for kind, token in {
            "first letter wrong": altered(secret(0), 0),
            "first letter after the prefix wrong": altered(secret(0), len(tokens.PREFIX)),
            "last letter wrong": altered(secret(0), -1),
            "last letter wrong, of the file's last": altered(secret(count - 1), -1),
            "one letter short": secret(0)[:-1],
            "unknown": secret(count),
        }.items()
    }
    took_ns: dict[tuple[int, str], list[int]] = {kind: [] for kind in kinds}
    for _ in range(ROUNDS):
        for kind, (known, token) in kinds.items():
            began_ns = time.perf_counter_ns()
            with suppress(NotAccepted):
                known.identify(token)
            took_ns[kind].append(time.perf_counter_ns() - began_ns)
    medians = {kind: statistics.median(times) / 1_000 for kind, times in took_ns.items()}
    quickest, slowest = min(medians.values()), max(medians.values())
    figure(
        f"{len(kinds) // 2} kinds of wrong token, {FEW} and {MANY:,} known: "
        f"medians of {quickest:.2f} to {slowest:.2f} µs"
    )
    assert slowest <= RATIO * quickest, medians
