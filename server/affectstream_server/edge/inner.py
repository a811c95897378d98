"""Calls from one process of a server to another: the same service, behind a word that only they know."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import grpc

from affectstream_server.auth import Identity
from affectstream_server.edge.arguments import channel_arguments
from affectstream_server.edge.caller import CALLER
from affectstream_server.edge.observing import Observing
from affectstream_server.edge.service import AffectService
from affectstream_server.edge.status import abort
from affectstream_server.errors import Unauthenticated
from affectstream_server.settings import Settings

if TYPE_CHECKING:
    from affectstream_server.telemetry.calls import Calls

    Handler = grpc.RpcMethodHandler[Any, Any] | None
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Context = grpc.aio.ServicerContext[Any, Any]
Metadata = Sequence[tuple[str, str | bytes]]

_SECRET: Final = "affectstream-inner"  # noqa: S105 - the key under which it comes
_TENANT: Final = "affectstream-inner-tenant"
_NAME: Final = "affectstream-inner-name-bin"
_PASSED_ON: Final = ("traceparent", "tracestate")


def passed_on(secret: str, caller: Identity, metadata: Metadata) -> list[tuple[str, str | bytes]]:
    """The metadata of a call that is passed on to another process for its caller."""
    return [
        (_SECRET, secret),
        (_TENANT, caller.tenant),
        (_NAME, caller.name.encode()),
        *((key, value) for key, value in metadata if key in _PASSED_ON),
    ]


class InnerServer:
    """Listens where only this machine reaches it."""

    def __init__(
        self, settings: Settings, address: str, secret: str, service: AffectService, calls: Calls | None
    ) -> None:
        """``calls`` is told of them: they are where their sessions are."""
        interceptors: list[grpc.aio.ServerInterceptor] = [_OnlySiblings(secret)]
        if calls is not None:
            interceptors.insert(0, Observing(calls))
        self._server = grpc.aio.server(options=channel_arguments(settings.server), interceptors=interceptors)
        self._server.add_generic_rpc_handlers((service.handler(),))
        self._server.add_insecure_port(address)

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()

    async def stop(self, grace_s: float) -> None:
        """Give open calls ``grace_s``, then end them."""
        await self._server.stop(grace_s)


class _OnlySiblings(grpc.aio.ServerInterceptor):
    """Who calls is who the other process says."""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        told: dict[str, Any] = dict(handler_call_details.invocation_metadata or ())
        if not hmac.compare_digest(str(told.get(_SECRET, "")).encode(), self._secret):
            return grpc.stream_stream_rpc_method_handler(_refuse)
        CALLER.set(Identity(str(told[_TENANT]), bytes(told[_NAME]).decode()))
        return await continuation(handler_call_details)


async def _refuse(_: object, context: Context) -> None:
    await abort(context, Unauthenticated())
