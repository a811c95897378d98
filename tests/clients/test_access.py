"""TLS and tokens, from Node and Go."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from affectstream_server.auth import tokens
from tests.clients.programs import OTHERS, PATIENT, run
from tests.support.pki import Pki
from tests.support.wire import running_server

pytestmark = pytest.mark.parametrize("language", OTHERS)


@pytest.fixture
async def guarded(pki: Pki, tmp_path: Path) -> AsyncIterator[tuple[str, str]]:
    """The address, by name, of a server with TLS that asks for a token, and the token."""
    secret, line = tokens.make("acme", "agent", None)
    (tmp_path / "tokens.yaml").write_text(line)
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key}
    async with running_server(
        PATIENT | {"tls": tls, "auth": {"tokens_file": str(tmp_path / "tokens.yaml")}}
    ) as server:
        yield server.address.replace("127.0.0.1", "localhost"), secret


async def test_a_token_over_tls_lets_one_in(
    language: str, guarded: tuple[str, str], pki: Pki, short: Path, tmp_path: Path
) -> None:
    address, secret = guarded
    file = tmp_path / "agent.token"
    file.write_text(f"{secret}\n")
    to = ("--server", address, "--speed", "0", short)
    for environ in (
        {"AFFECTSTREAM_TOKEN": secret, "AFFECTSTREAM_CA": pki.ca},
        {"AFFECTSTREAM_TOKEN_FILE": str(file), "AFFECTSTREAM_CA": pki.ca},
    ):
        done = await run(language, *to, environ=environ)
        assert (done.status, done.err, len(done.finals)) == (0, "", 1)
        assert secret not in done.out


@pytest.mark.parametrize("token", ["", "wrong"])
async def test_a_wrong_token_is_said_to_be_wrong_and_not_shown(
    language: str, token: str, guarded: tuple[str, str], pki: Pki, short: Path
) -> None:
    done = await run(
        language, "--server", guarded[0], "--ca", pki.ca, short, environ={"AFFECTSTREAM_TOKEN": token}
    )
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "UNAUTHENTICATED" in done.err
    assert "TOKEN_NOT_ACCEPTED" in done.err
    assert not token or token not in done.err


async def test_a_certificate_that_is_not_accepted_is_named(
    language: str, guarded: tuple[str, str], pki: Pki, short: Path
) -> None:
    to = ("--server", guarded[0], short)
    for options, says in (
        (("--ca", pki.theirs.file), "is of a CA that is not trusted here"),
        (("--ca", pki.ca, "--server-name", "example.org"), "is for another name"),
    ):
        done = await run(language, *options, *to)
        assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
        assert f"UNAVAILABLE: no connection to {guarded[0]}: its certificate {says}" in done.err


async def test_a_token_does_not_leave_the_machine_in_plain_text(language: str, short: Path) -> None:
    done = await run(
        language, "--server", "affect.example.org:50551", short, environ={"AFFECTSTREAM_TOKEN": "secret-1"}
    )
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "plain text" in done.err
    assert "secret-1" not in done.err
