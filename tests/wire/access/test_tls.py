"""TLS and mTLS: every kind of caller at every kind of server, and certificates that change meanwhile."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import pytest

from affectstream import AffectClient, ConnectError, Timeouts, Tls
from tests.support.pki import Pair, Pki, content, write
from tests.support.wire import running_server

OK = "ok"
CLOSED = "it closed the connection: is it full, or does it want TLS or a certificate?"
NO_TLS = "it does not speak TLS"
FOREIGN_CA = "its certificate is of a CA that is not trusted here"
OTHER_NAME = "its certificate is for another name"
EXPIRED = "its certificate has expired"


def callers(pki: Pki) -> dict[str, Tls | bool]:
    """Every kind of client."""
    own, foreign = pki.ours.issue("agent"), pki.theirs.issue("agent")
    expired = pki.ours.issue("agent", expired=True)
    return {
        "plain": False,
        "tls": Tls(ca_file=pki.ca),
        "tls, foreign CA": Tls(ca_file=pki.theirs.file),
        "tls, system's CAs": True,
        "tls, other name": Tls(ca_file=pki.ca, server_name="example.org"),
        "mtls": Tls(ca_file=pki.ca, cert_file=own.cert, key_file=own.key),
        "mtls, foreign": Tls(ca_file=pki.ca, cert_file=foreign.cert, key_file=foreign.key),
        "mtls, expired": Tls(ca_file=pki.ca, cert_file=expired.cert, key_file=expired.key),
    }


@asynccontextmanager
async def server_of(pki: Pki, **tls: str) -> AsyncIterator[str]:
    """A server with the certificate of ours; gives localhost:PORT, the name that the certificate has."""
    files = {"cert_file": pki.server.cert, "key_file": pki.server.key} | tls
    async with running_server({"tls": files}) as server:
        yield at_localhost(server.address)


def at_localhost(address: str) -> str:
    return f"localhost:{address.rpartition(':')[2]}"


async def ask(target: str, tls: Tls | bool, **more: Any) -> str:
    """How a call goes: `OK`, or why there is no connection."""
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
    try:
        async with AffectClient(
            target, tls=tls, timeouts=Timeouts(call_s=5), options=options, **more
        ) as client:
            await client.server_info()
    except ConnectError as error:
        return str(error).removeprefix(f"no server at {target}: ")
    return OK


@pytest.mark.fault("TLS")
async def test_every_caller_at_a_server_without_tls(pki: Pki) -> None:
    async with running_server() as server:
        answers = {name: await ask(at_localhost(server.address), tls) for name, tls in callers(pki).items()}
    assert answers == {name: OK if name == "plain" else NO_TLS for name in answers}


@pytest.mark.fault("TLS")
async def test_every_caller_at_a_server_with_tls(pki: Pki) -> None:
    async with server_of(pki) as target:
        answers = {name: await ask(target, tls) for name, tls in callers(pki).items()}
    assert answers == {
        "plain": CLOSED,
        "tls": OK,
        "tls, foreign CA": FOREIGN_CA,
        "tls, system's CAs": FOREIGN_CA,
        "tls, other name": OTHER_NAME,
        "mtls": OK,
        "mtls, foreign": OK,  # nobody looks at it
        "mtls, expired": OK,
    }


@pytest.mark.fault("TLS")
async def test_every_caller_at_a_server_that_asks_for_certificates(pki: Pki) -> None:
    async with server_of(pki, client_ca_file=pki.ca) as target:
        answers = {name: await ask(target, tls) for name, tls in callers(pki).items()}
    assert answers == {
        "plain": CLOSED,
        "tls": CLOSED,
        "tls, foreign CA": FOREIGN_CA,
        "tls, system's CAs": FOREIGN_CA,
        "tls, other name": OTHER_NAME,
        "mtls": OK,
        "mtls, foreign": CLOSED,
        "mtls, expired": CLOSED,
    }


@pytest.mark.fault("TLS")
async def test_a_server_whose_certificate_expired_is_not_trusted(pki: Pki) -> None:
    """Ours refuses to start with one: this is a bare one."""
    old = pki.ours.issue("localhost", expired=True)
    pair = content(old.key), content(old.cert)
    server = grpc.aio.server()
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([pair]))
    await server.start()
    try:
        assert await ask(f"localhost:{port}", Tls(ca_file=pki.ca)) == EXPIRED
    finally:
        await server.stop(None)


async def test_a_renewed_certificate_serves_the_next_handshake(pki: Pki) -> None:
    async with server_of(pki) as target:
        assert await ask(target, Tls(ca_file=pki.ca)) == OK
        pki.theirs.issue("localhost", file="server")
        assert await ask(target, Tls(ca_file=pki.theirs.file)) == OK
        assert await ask(target, Tls(ca_file=pki.ca)) == FOREIGN_CA


async def test_calls_outlive_the_certificate_that_they_began_with(pki: Pki) -> None:
    async with (
        server_of(pki) as target,
        AffectClient(target, tls=Tls(ca_file=pki.ca)) as client,
        client.stream() as stream,
    ):
        pki.theirs.issue("localhost", file="server")
        assert await ask(target, Tls(ca_file=pki.theirs.file)) == OK
        await stream.send(bytes(640))
        await stream.end()
        assert [type(event).__name__ async for event in stream][-1] == "SessionClosed"


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda pair: Path(pair.cert).write_text("-----BEGIN CERT"), "tls.cert_file"),
        (lambda pair: Path(pair.key).write_text(""), "tls.key_file"),
        (lambda pair: Path(pair.key).unlink(), "cannot be read: No such file"),
    ],
)
async def test_a_renewed_certificate_that_cannot_be_used_is_logged_and_the_old_one_stays(
    pki: Pki, caplog: pytest.LogCaptureFixture, harm: Any, words: str
) -> None:
    async with server_of(pki) as target:
        harm(pki.server)
        for _ in range(3):
            assert await ask(target, Tls(ca_file=pki.ca)) == OK
        (told,) = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert "the one before stays" in told.getMessage()
        assert words in told.getMessage()
        pki.theirs.issue("localhost", file="server")
        assert await ask(target, Tls(ca_file=pki.theirs.file)) == OK


async def test_half_a_renewal_waits_for_the_other_half(pki: Pki) -> None:
    async with server_of(pki) as target:
        key = content(pki.server.key)
        pki.theirs.issue("localhost", file="server")
        new_key = content(pki.server.key)
        write(pki.server.key, key)
        assert await ask(target, Tls(ca_file=pki.ca)) == OK
        write(pki.server.key, new_key)
        assert await ask(target, Tls(ca_file=pki.theirs.file)) == OK


async def test_another_ca_for_callers_holds_from_the_next_handshake(pki: Pki, tmp_path: Path) -> None:
    trusted = tmp_path / "trusted.pem"
    write(str(trusted), content(pki.ca))
    known = callers(pki)
    async with server_of(pki, client_ca_file=str(trusted)) as target:
        assert await ask(target, known["mtls"]) == OK
        write(str(trusted), content(pki.theirs.file))
        assert await ask(target, known["mtls"]) == CLOSED
        assert await ask(target, known["mtls, foreign"]) == OK


async def test_credentials_of_ones_own_still_serve(pki: Pki) -> None:
    own = grpc.ssl_channel_credentials(content(pki.ca))
    async with server_of(pki) as target:
        assert await ask(target, False, credentials=own) == OK


def swapped(pair: Pair) -> dict[str, str]:
    return {"cert_file": pair.key, "key_file": pair.cert}


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (lambda _: {"ca_file": "nowhere.pem"}, "Tls.ca_file: nowhere.pem: cannot be read: No such file"),
        (lambda pki: {"ca_file": pki.server.key}, "holds no certificate in PEM"),
        (lambda pki: swapped(pki.server), "are not a certificate and its private key"),
        (lambda pki: {"cert_file": pki.server.cert, "key_file": "/"}, "Tls.key_file: /: cannot be read"),
    ],
)
async def test_a_file_that_the_client_cannot_use_is_named(pki: Pki, files: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        async with AffectClient("localhost:1", tls=Tls(**files(pki))):
            pass
