"""The client shows its token, to whom it may, and to nobody else."""

from __future__ import annotations

import asyncio

import grpc
import pytest

from affectstream import AffectClient, AffectStreamError, Timeouts
from affectstream.errors import Unauthenticated
from tests.wire.access.issued import Issued, serving


async def test_the_client_says_why_in_one_line_and_never_shows_the_token(issued: Issued) -> None:
    async with serving(issued) as server:
        client = AffectClient(server.address, token=issued.expired)
        async with client:
            with pytest.raises(Unauthenticated, match="no token that this server accepts") as info_error:
                await client.server_info()
            with pytest.raises(Unauthenticated, match="no token that this server accepts") as stream_error:
                async with client.stream():
                    pass
            stream = client.stream()
        for thing in (client, stream, client._token, info_error.value, stream_error.value):
            assert issued.expired not in repr(thing)
        assert info_error.value.reason == "TOKEN_NOT_ACCEPTED"


async def test_a_function_gives_the_token_of_now(issued: Issued) -> None:
    given = iter([issued.expired, issued.acme])

    async def fetch() -> str:
        await asyncio.sleep(0)
        return next(given)

    async with serving(issued) as server, AffectClient(server.address, token=fetch) as client:
        with pytest.raises(Unauthenticated):
            await client.server_info()
        await client.server_info()


async def test_a_function_that_gives_no_token_in_time_is_not_waited_for() -> None:
    async def never() -> str:
        await asyncio.sleep(60)
        return ""

    timeouts = Timeouts(connect_s=0.05)
    async with AffectClient("127.0.0.1:1", token=never, timeouts=timeouts) as client:
        with pytest.raises(AffectStreamError, match="no token within"):
            await client.server_info()


@pytest.mark.parametrize("target", ["example.org:443", "10.0.0.1:1", "dns:///example.org:443", "0.0.0.0:1"])
def test_a_token_does_not_leave_this_machine_in_plain_text(target: str) -> None:
    with pytest.raises(ValueError, match="in plain text: use tls"):
        AffectClient(target, token="secret")  # noqa: S106 - no secret
    AffectClient(target, token="secret", tls=True)  # noqa: S106 - no secret
    AffectClient(target, token="secret", allow_plain_token=True)  # noqa: S106 - no secret


@pytest.mark.parametrize("token", ["", "two words", "line\n", "ümlaut", "x" * 8_193])
def test_what_cannot_be_a_token_is_refused_without_showing_it(token: str) -> None:
    with pytest.raises(ValueError, match="visible ASCII") as error:
        AffectClient("127.0.0.1:1", token=token)
    assert not token or token not in str(error.value)


def test_arguments_that_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either tls or credentials"):
        AffectClient("x:1", tls=True, credentials=grpc.ssl_channel_credentials())
    with pytest.raises(ValueError, match="either token or metadata"):
        AffectClient("127.0.0.1:1", token="x", metadata=(("authorization", "Bearer y"),))  # noqa: S106
