"""Servers that do as a test says, and the command line as a process."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.json_format import Parse
from google.protobuf.message import Message

from affectstream.v1 import affect_pb2 as pb

Call = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[pb.StreamAffectRequest]
Handler = Callable[[Requests, Call], Awaitable[None]]
Watched = Callable[[pb.WatchAffectRequest, Call], Awaitable[None]]


@asynccontextmanager
async def odd_server(handler: Handler, watch: Watched | None = None) -> AsyncIterator[str]:
    """A server whose StreamAffect is `handler` and whose WatchAffect is `watch`; gives its HOST:PORT.

    What they write may be bytes that are no message.
    """

    async def stream_affect(requests: Any, call: Any) -> None:
        await handler(requests, call)

    async def watch_affect(request: Any, call: Any) -> None:
        assert watch is not None
        await watch(request, call)

    methods: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
        "StreamAffect": grpc.stream_stream_rpc_method_handler(
            stream_affect, pb.StreamAffectRequest.FromString, _serialized
        ),
        "WatchAffect": grpc.unary_stream_rpc_method_handler(
            watch_affect, pb.WatchAffectRequest.FromString, _serialized
        ),
    }
    service = pb.DESCRIPTOR.services_by_name["AffectService"].full_name
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, methods),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _serialized(message: Message | bytes) -> bytes:
    return message if isinstance(message, bytes) else message.SerializeToString()


def response(sequence: int = 1, **event: Any) -> pb.StreamAffectResponse:
    """A response with one event."""
    return pb.StreamAffectResponse(event=pb.SessionEvent(session_id="s", epoch=1, sequence=sequence, **event))


STARTED = response(session_started=pb.SessionStarted(session_epoch=1))


@dataclass(frozen=True)
class Done:
    """How a command ended and what it said."""

    status: int
    out: str
    err: str

    @property
    def events(self) -> list[pb.SessionEvent]:
        """Standard output as JSON lines; fails on anything else."""
        return [Parse(line, pb.SessionEvent()) for line in self.out.splitlines()]

    @property
    def finals(self) -> list[pb.AffectEvent]:
        """The final affect events."""
        return [event.affect for event in self.events if event.affect.stage == pb.STAGE_FINAL]


# Where the tests themselves run in the background of a shell, SIGINT is ignored, and so by what they start.
_INTERRUPTIBLE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from affectstream.cli import main; sys.exit(main())"
)


async def start_cli(*arguments: str | Path, stdin: int | None = None) -> asyncio.subprocess.Process:
    """Start `affectstream ARGUMENTS` with pipes for what it says."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", _INTERRUPTIBLE),
        *map(str, arguments),
        stdin=asyncio.subprocess.DEVNULL if stdin is None else stdin,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def finish(process: asyncio.subprocess.Process, data: bytes | None = None, limit_s: float = 40) -> Done:
    """Wait for a command, feeding it `data`; it is killed if it takes longer than `limit_s`."""
    try:
        async with asyncio.timeout(limit_s):
            out, err = await process.communicate(data)
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    return Done(process.returncode or 0, out.decode(), err.decode())


async def run_cli(*arguments: str | Path, data: bytes | None = None) -> Done:
    """Run `affectstream ARGUMENTS` to its end, with `data` on standard input."""
    stdin = None if data is None else asyncio.subprocess.PIPE
    return await finish(await start_cli(*arguments, stdin=stdin), data)
