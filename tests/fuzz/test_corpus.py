"""Every kept input again, without the fuzzer: what once broke something does so no more."""

from __future__ import annotations

import logging
import random

import pytest

from affectstream.reasons import SERVER
from affectstream_server.errors import InternalFault, InvalidRequest, ServiceError
from tests.fuzz import corpus
from tests.fuzz.oracle import Found, check_refusal, check_text, watched
from tests.fuzz.target import NAMES, find

NAMED = [
    (target, name) for target in NAMES for name in corpus.read(target) if not name.startswith(corpus.FOUND)
]
MOST_BYTES = 64 * 1024
"""Of a target's inputs."""


@pytest.mark.fault("garbage")
@pytest.mark.parametrize(("target", "name"), NAMED, ids=lambda part: part)
def test_what_was_once_wrong_is_so_no_more(target: str, name: str) -> None:
    with find(target).opened() as run:
        run(corpus.read(target)[name])


@pytest.mark.fault("garbage")
@pytest.mark.parametrize("target", NAMES)
def test_seeds_and_what_was_found_break_nothing(target: str) -> None:
    with find(target).opened() as run:
        for content in (*find(target).seeds.values(), *corpus.read(target).values()):
            run(content)


@pytest.mark.parametrize("target", [name for name in NAMES if find(name).mutate is not None])
def test_changed_inputs_stay_within_their_length_and_break_nothing(target: str) -> None:
    """The fuzzer's own changes, without its lines counted: so that this test needs no fuzzer."""
    it = find(target)
    assert it.mutate is not None
    chance = random.Random(13)  # noqa: S311 - the same changes each time

    def flip(data: bytes, most: int) -> bytes:
        place = chance.randrange(len(data) + 1)
        return (data[:place] + chance.randbytes(1) + data[place + 1 :])[:most]

    with it.opened() as run:
        for data in it.seeds.values():
            changed = data
            for _ in range(8):
                changed = it.mutate(changed, it.most_bytes, chance.getrandbits(30), flip)
                assert len(changed) <= it.most_bytes
                run(changed)


@pytest.mark.parametrize("target", NAMES)
def test_the_corpus_stays_small(target: str) -> None:
    assert sum(map(len, corpus.read(target).values())) < MOST_BYTES


@pytest.mark.parametrize(
    "error",
    [
        InternalFault(),
        InvalidRequest("audio", "x", "y", reason="NEVER_HEARD_OF"),
        InvalidRequest("audio", "ValueError: bad", "y"),
        InvalidRequest("audio", "x", "what /usr/lib/python3/yaml.py says"),
    ],
)
def test_the_oracle_finds_what_nobody_may_read(error: ServiceError) -> None:
    with pytest.raises(Found):
        check_refusal(error, b"x")


def test_the_oracle_lets_through_what_is_ours_and_what_the_caller_said() -> None:
    check_refusal(InvalidRequest("audio", "x", "y", reason="PARTIAL_FRAME"), b"")
    check_text("config.model: got ValueError, expected one of a, b", b"ValueError")
    assert "INTERNAL_FAULT" in SERVER, "in the catalogue, and a fault nevertheless"


def test_the_oracle_finds_what_is_logged_as_a_fault() -> None:
    with pytest.raises(Found, match="session x failed"), watched():
        logging.getLogger("affectstream_server.test").error("session %s failed", "x")
