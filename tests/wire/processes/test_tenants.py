"""Whose call it is goes along where a stream is passed on, and nobody else's session is found there."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import WriteFailed
from tests.support.wire import stub
from tests.wire.processes.several import asked, mark_of, two_processes
from tests.wire.resuming import Call


def token(tokens: Path, tenant: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a tenant's calls."""
    command = "import sys; from affectstream.cli import main; sys.exit(main())"
    arguments = ["token", "--tenant", tenant, "--add", str(tokens)]
    done = subprocess.run([sys.executable, "-c", command, *arguments], capture_output=True, check=True)
    return (("authorization", f"Bearer {done.stdout.decode().strip()}"),)


@asynccontextmanager
async def begun(service: Any, first: pb.StreamAffectRequest, whose: Any) -> AsyncIterator[Call]:
    """A tenant's call that has its first event."""
    call = Call(service.StreamAffect(metadata=whose), first)
    await call.send([first])
    await call.until(lambda events: events)
    try:
        yield call
    finally:
        call.call.cancel()


async def answer(service: Any, first: pb.StreamAffectRequest, whose: Any) -> grpc.StatusCode:
    """How a stream ends that should not begin."""
    call = Call(service.StreamAffect(metadata=whose), first)
    with suppress(WriteFailed):  # who is refused at once may be so before it was written
        await call.send([first])
    return await call.to_the_end()


async def test_a_stream_that_is_passed_on_stays_its_tenant_s(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    acme = await asyncio.to_thread(token, tokens, "acme")
    other = await asyncio.to_thread(token, tokens, "other")
    with two_processes(tmp_path / "log", "--tokens", str(tokens)) as (_, address):
        async with AsyncExitStack() as stack:
            lines = [await stack.enter_async_context(stub(address)) for _ in range(20)]
            first = await stack.enter_async_context(begun(lines[0], asked(), acme))
            for line in lines[1:]:
                async with begun(line, asked(), acme) as probe:
                    if mark_of(probe) != mark_of(first):
                        break
            else:
                raise AssertionError("all connections lead to one process")
            resume = first.next(offset=0)
            assert await answer(line, resume, other) is grpc.StatusCode.NOT_FOUND
            assert await answer(line, resume, ()) is grpc.StatusCode.UNAUTHENTICATED
            forged = (*other, ("affectstream-inner-tenant", "acme"), ("affectstream-inner-name-bin", b"acme"))
            assert await answer(line, resume, forged) is grpc.StatusCode.NOT_FOUND
            async with begun(line, resume, acme) as second:
                assert second.started.resumed
                assert mark_of(second) == mark_of(first)
