"""grpc.health.v1. It needs no token, so what a connection holds is bounded, and nobody is waited for."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from affectstream_server.edge.codec import bounded
from affectstream_server.edge.status import abort
from affectstream_server.errors import LimitReached, ServiceError
from affectstream_server.stages.emit import too_slow

SERVICE_NAME: Final = "grpc.health.v1.Health"
MOST_CALLS: Final = 16
"""Of one connection at once, those among them whose answer it does not read."""
WRITE_S: Final = 5.0
"""A watcher that does not read for so long is left."""
_REQUEST_BYTES: Final = 1_024

Request = HealthCheckRequest | ServiceError
Context = grpc.aio.ServicerContext[Any, Any]


class Health:
    """The status of each service, and who waits for another one."""

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._watchers: set[asyncio.Event] = set()
        self._open: Counter[str] = Counter()

    def say(self, service: str, status: int) -> None:
        """The service has this status from now on. Who watches it is told as fast as they read."""
        self._status[service] = status
        for changed in self._watchers:
            changed.set()

    async def check(self, request: Request, context: Context) -> HealthCheckResponse:
        service = await self._admit(request, context)
        if service not in self._status:
            await context.abort(grpc.StatusCode.NOT_FOUND, "service: none of this server has the name")
        return HealthCheckResponse(status=self._status[service])

    async def watch(self, request: Request, context: Context) -> None:
        service = await self._admit(request, context)
        # With the first answer instead, an abort while that one waits for its reader would send them twice.
        await context.send_initial_metadata(())
        try:
            await self._tell(service, context)
        except TimeoutError:
            await abort(context, too_slow("no room for a status", f"{WRITE_S * 1_000:.0f} ms"))

    def handler(self) -> grpc.GenericRpcHandler:
        """The handlers."""
        parse = bounded(HealthCheckRequest.FromString, _REQUEST_BYTES)
        serialise = HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Check": grpc.unary_unary_rpc_method_handler(self.check, parse, serialise),
                "Watch": grpc.unary_stream_rpc_method_handler(self.watch, parse, serialise),
            },
        )

    async def _tell(self, service: str, context: Context) -> None:
        """Write the status, and each that follows. Raises `TimeoutError` where they are not read."""
        changed = asyncio.Event()
        self._watchers.add(changed)
        told: int | None = None
        try:
            while True:
                changed.clear()
                status = self._status.get(service, HealthCheckResponse.SERVICE_UNKNOWN)
                if status != told:
                    async with asyncio.timeout(WRITE_S):
                        await context.write(HealthCheckResponse(status=status))
                    told = status
                await changed.wait()
        finally:
            self._watchers.discard(changed)

    async def _admit(self, request: Request, context: Context) -> str:
        """Count the call as long as gRPC holds it. Returns the service that is asked for."""
        if isinstance(request, ServiceError):
            await abort(context, request)
        peer = context.peer()
        if self._open[peer] >= MOST_CALLS:
            await abort(context, _too_many(self._open[peer]))
        self._open[peer] += 1
        call = asyncio.current_task()
        assert call is not None  # noqa: S101 - a handler runs in its call's task, which ends when all is sent
        call.add_done_callback(lambda _: self._over(peer))
        return request.service

    def _over(self, peer: str) -> None:
        self._open[peer] -= 1
        if not self._open[peer]:
            del self._open[peer]


def _too_many(open_now: int) -> LimitReached:
    return LimitReached(
        f"{MOST_CALLS} health calls are open on this connection, the most that one may have",
        reason="TOO_MANY_CALLS",
        field="calls",
        value=open_now,
        limit=MOST_CALLS,
        retry_after_s=1.0,
    )
