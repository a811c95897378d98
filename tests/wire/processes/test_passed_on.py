"""A stream that is passed on ends as one that is not: its readers with it, and with a word of ours."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import grpc
import pytest

from affectstream.writing import close, send
from affectstream_server.lifecycle import Server
from affectstream_server.processes.siblings import Siblings
from affectstream_server.processes.switchboard import Switchboard
from affectstream_server.settings import load
from tests.support.wire import END, Request, error_info, stub
from tests.wire.client.talks import until
from tests.wire.processes.several import asked, linked, on
from tests.wire.resuming import Call

NOBODY = 9
"""The serial of a process that does not live."""
SETTINGS = load(environ={}, overrides={"server": {"address": "127.0.0.1:0", "drain_s": 0.5}})


class Two(NamedTuple):
    """Two processes of one server, both in this one, and a stub for each."""

    here: Any
    there: Any
    of_there: Siblings
    """What the second knows of the others."""
    switchboard: Switchboard


@asynccontextmanager
async def two() -> AsyncIterator[Two]:
    async with linked(2) as (switchboard, everyone):
        servers = [Server(SETTINGS, siblings) for siblings in everyone]
        for server, siblings in zip(servers, everyone, strict=True):
            await server.start()
            siblings.link.tell("up", address=siblings.inner_address)
        await until(lambda: all(len(siblings.addresses) == 2 for siblings in everyone))
        try:
            async with stub(servers[0].address) as here, stub(servers[1].address) as there:
                yield Two(here, there, everyone[1], switchboard)
        finally:
            for server in servers:
                await server.drain_and_stop()


@asynccontextmanager
async def passed_on(both: Two) -> AsyncIterator[Call]:
    """A stream of a session of the first process that goes through the second."""
    async with on(both.here, asked()) as first:
        pass
    async with on(both.there, first.next(offset=0)) as call:
        assert call.started.resumed
        yield call


def to_nobody(both: Two, like: Call) -> Request:
    """The config of a stream whose session is in a process that the second takes for alive, and is not."""
    both.of_there.addresses[NOBODY] = "unix-abstract:affectstream-nobody"
    first = like.next(offset=0)
    first.config.resume.resume_token = first.config.resume.resume_token[:-4] + NOBODY.to_bytes(4)
    return first


async def failure(call: Call) -> grpc.aio.AioRpcError:
    """The error that ends the call."""
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call.until(lambda _: False)
    return caught.value


async def left(_: Two, call: Call) -> None:
    call.call.cancel()


async def ended(_: Two, call: Call) -> None:
    await call.send([END])
    await close(call.call)
    assert await call.to_the_end() is grpc.StatusCode.OK


async def superseded(both: Two, call: Call) -> None:
    async with on(both.here, call.next(offset=0)):
        assert error_info(await failure(call)).reason == "SUPERSEDED"


async def malformed(_: Two, call: Call) -> None:
    await send(call.call, b"\xff\xff\xff\xff")
    assert error_info(await failure(call)).reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("ends", [left, ended, superseded, malformed])
async def test_what_reads_is_not_cancelled_and_ends_with_its_call(
    ends: Callable[[Two, Call], Awaitable[None]],
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    async with two() as both:
        async with passed_on(both) as call:
            (reader,) = readers()
            await ends(both, call)
        done, _ = await asyncio.wait({reader}, timeout=10)
        assert done
        assert not reader.cancelled(), "gRPC would lose what it holds for it"
    gc.collect()
    await asyncio.sleep(0)
    assert complaints == []


async def test_where_the_process_is_gone_the_caller_is_told_so_and_no_address() -> None:
    async with two() as both, passed_on(both) as call:
        both.switchboard.remove(both.switchboard.children[0])
        await until(lambda: len(both.of_there.addresses) == 1)
        first = to_nobody(both, call)
        another = Call(both.there.StreamAffect(), first)
        await another.send([first])
        for error in (await failure(another), await failure(call)):
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error.details() == "the process that has the session does not answer"


async def test_a_fault_is_in_the_log_and_not_with_the_caller(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def break_down(*_: object) -> None:
        raise KeyError("unix-abstract:affectstream-7")

    async with two() as both, on(both.here, asked()) as first:
        monkeypatch.setattr("affectstream_server.edge.forward.passed_on", break_down)
        call = Call(both.there.StreamAffect(), first.next(offset=0))
        await call.send([first.next(offset=0)])
        error = await failure(call)
    assert (error.code(), error_info(error).reason) == (grpc.StatusCode.INTERNAL, "INTERNAL_FAULT")
    assert "unix" not in (error.details() or "")
    assert [record.exc_info[0] for record in caplog.records if record.exc_info] == [KeyError]


def readers() -> list[asyncio.Task[Any]]:
    """Tasks that read a caller's messages to pass them on."""
    code = [(task, getattr(task.get_coro(), "cr_code", None)) for task in asyncio.all_tasks()]
    return [
        task for task, of in code if of and of.co_filename.endswith("forward.py") and of.co_name == "_send"
    ]
