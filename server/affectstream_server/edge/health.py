"""grpc.health.v1. It needs no token, so what a connection holds is bounded, and nobody is waited for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from affectstream_server.edge.codec import bounded
from affectstream_server.edge.open_calls import OpenCalls
from affectstream_server.edge.status import abort
from affectstream_server.errors import InvalidRequest, ServiceError
from affectstream_server.stages.emit import too_slow

SERVICE_NAME: Final = "grpc.health.v1.Health"
METHODS: Final = f"/{SERVICE_NAME}/"
"""How the path of each begins."""
MOST_CALLS: Final = 16
"""Of one connection at once, those among them whose answer it does not read."""
WRITE_S: Final = 5.0
"""A watcher that does not read for so long is left."""
_REQUEST_BYTES: Final = 1_024

Requests = AsyncIterator[HealthCheckRequest | ServiceError]
Context = grpc.aio.ServicerContext[Any, Any]


class Health:
    """The status of each service, and who waits for another one."""

    def __init__(self) -> None:
        self._status: dict[str, int] = {}
        self._watchers: set[asyncio.Event] = set()
        self.calls = OpenCalls(MOST_CALLS, "a connection")
        """Those that are open."""

    def say(self, service: str, status: int) -> None:
        """The service has this status from now on. Who watches it is told as fast as they read."""
        self._status[service] = status
        for changed in self._watchers:
            changed.set()

    async def check(self, requests: Requests, context: Context) -> None:
        service = await self._asked(requests, context)
        if service not in self._status:
            await context.abort(grpc.StatusCode.NOT_FOUND, "service: none of this server has the name")
        await context.write(HealthCheckResponse(status=self._status[service]))

    async def watch(self, requests: Requests, context: Context) -> None:
        service = await self._asked(requests, context)
        # With the first answer instead, an abort while that one waits for its reader would send them twice.
        await context.send_initial_metadata(())
        try:
            await self._tell(service, context)
        except TimeoutError:
            await abort(context, too_slow("no room for a status", f"{WRITE_S * 1_000:.0f} ms"))

    def handler(self) -> grpc.GenericRpcHandler:
        """The handlers. They read by themselves: a call counts before its request comes, or does not come."""
        parse = bounded(HealthCheckRequest.FromString, _REQUEST_BYTES)
        serialise = HealthCheckResponse.SerializeToString
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "Check": grpc.stream_stream_rpc_method_handler(self.check, parse, serialise),
                "Watch": grpc.stream_stream_rpc_method_handler(self.watch, parse, serialise),
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

    async def _asked(self, requests: Requests, context: Context) -> str:
        """Count the call. Returns the service that it asks for."""
        try:
            self.calls.admit(context.peer())
            request = await anext(requests, None)
            if request is None:
                raise InvalidRequest("request", "none", "one message", reason="MALFORMED_MESSAGE")
            if isinstance(request, ServiceError):
                raise request
        except ServiceError as error:
            await abort(context, error)
        return request.service
