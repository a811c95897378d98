"""A tenant has so many calls open at once; health, which has no tenant, has a bound of its own.

gRPC's own bound (`maximum_concurrent_rpcs`) would give no reason, and one caller could take all of it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc

from affectstream_server.edge import health
from affectstream_server.edge.caller import CALLER
from affectstream_server.edge.open_calls import OpenCalls
from affectstream_server.edge.status import abort
from affectstream_server.errors import LimitReached
from affectstream_server.settings import Settings

OTHERS: Final = 1_000
"""Beside the streams, analyses and watchers that are served: short calls, reflection, and what is refused."""

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any] | None
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Context = grpc.aio.ServicerContext[Any, Any]


class Admission(grpc.aio.ServerInterceptor):
    """Refuses calls above the bound. Comes after `Authentication`, which knows whose they are."""

    def __init__(self, settings: Settings) -> None:
        server, bus = settings.server, settings.bus
        most = server.max_streams + server.max_analyses + bus.max_watchers + OTHERS
        self.calls = OpenCalls(most, "a tenant")
        """Those that are open."""

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        if not handler_call_details.method.startswith(health.METHODS):
            try:
                self.calls.admit(CALLER.get().tenant)
            except LimitReached as error:
                return _refusing(error)
        return await continuation(handler_call_details)


def _refusing(error: LimitReached) -> Handler:
    """A handler that reads nothing, says ``error``, and serves for any kind of call."""

    async def refuse(_: object, context: Context) -> None:
        await abort(context, error)

    return grpc.stream_stream_rpc_method_handler(refuse)
