"""Tenants over several processes: whose a stream is goes along with it, and nobody takes another's places."""

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


async def apart(stack: AsyncExitStack, address: str, whose: Any) -> tuple[Any, Any]:
    """A stub for each of the two processes, on a connection of its own."""
    lines = [await stack.enter_async_context(stub(address)) for _ in range(20)]
    async with begun(lines[0], asked(), whose) as first:
        for line in lines[1:]:
            async with begun(line, asked(), whose) as probe:
                if mark_of(probe) != mark_of(first):
                    return lines[0], line
    raise AssertionError("all connections lead to one process")


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
            here, line = await apart(stack, address, acme)
            first = await stack.enter_async_context(begun(here, asked(), acme))
            resume = first.next(offset=0)
            assert await answer(line, resume, other) is grpc.StatusCode.NOT_FOUND
            assert await answer(line, resume, ()) is grpc.StatusCode.UNAUTHENTICATED
            forged = (*other, ("affectstream-inner-tenant", "acme"), ("affectstream-inner-name-bin", b"acme"))
            assert await answer(line, resume, forged) is grpc.StatusCode.NOT_FOUND
            async with begun(line, resume, acme) as second:
                assert second.started.resumed
                assert mark_of(second) == mark_of(first)


async def test_calls_without_a_config_take_nobody_else_s_places(tmp_path: Path) -> None:
    tokens = tmp_path / "tokens.yaml"
    acme = await asyncio.to_thread(token, tokens, "acme")
    other = await asyncio.to_thread(token, tokens, "other")
    bounds = {"SERVER__MAX_STREAMS": "20", "TENANTS__ACME": "{streams: 2}"}
    with two_processes(tmp_path / "log", "--tokens", str(tokens), **bounds) as (_, address):
        async with AsyncExitStack() as stack:
            lines = await apart(stack, address, other)
            flooding = await stack.enter_async_context(stub(address))
            ends = [asyncio.create_task(flooding.StreamAffect(metadata=acme).code()) for _ in range(30)]
            ended = asyncio.as_completed(ends)
            async with asyncio.timeout(5):  # half of the time that a config has
                codes = {await next(ended) for _ in range(28)}
            assert codes == {grpc.StatusCode.RESOURCE_EXHAUSTED}
            for line in lines:
                async with begun(line, asked(), other):
                    pass
            assert sum(not end.done() for end in ends) == 2, "the quota's own wait for their config"
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)
