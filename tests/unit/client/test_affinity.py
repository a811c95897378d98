"""Which cookies a session's next call shows."""

from __future__ import annotations

import grpc
import pytest

from affectstream.affinity import MAX_BYTES, kept, shown


def set_cookie(*values: str | bytes) -> list[tuple[str, str | bytes]]:
    return [("x-other", "a=b"), *(("set-cookie", value) for value in values)]


@pytest.mark.parametrize(
    ("headers", "before", "cookies"),
    [
        ([], "", ""),
        (set_cookie("replica=one; path=/; HttpOnly"), "", "replica=one"),
        (set_cookie("a=1;path=/", "b=2"), "", "a=1; b=2"),
        ([], "replica=one", "replica=one"),
        (set_cookie("replica=two"), "replica=one; zone=z", "replica=two; zone=z"),
        (set_cookie("k=x=y=="), "", "k=x=y=="),
        (set_cookie("", ";", "=nameless", b"bytes=1"), "", ""),
        (set_cookie("small=1", "large=" + "x" * MAX_BYTES), "", "small=1"),
    ],
)
def test_what_is_shown_next(headers: list[tuple[str, str | bytes]], before: str, cookies: str) -> None:
    assert kept(headers, before) == cookies


def test_a_call_shows_them_beside_its_other_metadata() -> None:
    metadata = grpc.aio.Metadata(("authorization", "Bearer t"))
    assert list(shown(metadata, "a=1")) == [("authorization", "Bearer t"), ("cookie", "a=1")]
    assert list(shown(metadata, "")) == [("authorization", "Bearer t")]


def test_the_callers_own_win() -> None:
    assert list(shown(grpc.aio.Metadata(("cookie", "mine=1")), "a=1")) == [("cookie", "mine=1")]
