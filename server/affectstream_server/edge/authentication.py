"""Every call but health must show a token where the server asks for one."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

import grpc

from affectstream_server.auth.authenticator import Authenticator
from affectstream_server.auth.refusal import CannotTell, NotAccepted
from affectstream_server.edge import health
from affectstream_server.edge.caller import CALLER
from affectstream_server.edge.status import abort
from affectstream_server.errors import InternalFault, ServiceError, Unauthenticated, Unavailable

_log = logging.getLogger(__name__)

_KEY: Final = "authorization"
_LOG_EVERY_S: Final = 10.0

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any] | None
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Context = grpc.aio.ServicerContext[Any, Any]


class Authentication(grpc.aio.ServerInterceptor):
    """Finds out who calls, before the handler runs, or ends the call."""

    def __init__(self, authenticator: Authenticator) -> None:
        self._authenticator = authenticator
        self._refused = _Refused()

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        if not self._authenticator.on or handler_call_details.method.startswith(health.METHODS):
            return await continuation(handler_call_details)
        metadata = handler_call_details.invocation_metadata or ()
        try:
            CALLER.set(await self._authenticator.identify([value for key, value in metadata if key == _KEY]))
        except NotAccepted as refusal:
            return self._refuse(refusal.cause.value, Unauthenticated())
        except CannotTell:
            return self._refuse(
                "no keys to check it with",
                Unavailable("tokens cannot be checked just now", reason="NO_TOKEN_KEYS", retry_after_s=10.0),
            )
        except Exception:  # noqa: BLE001 - nobody gets in by a fault of ours, and its text must not get out
            _log.exception("a token could not be looked at")
            return self._refuse("a fault of ours", InternalFault())
        return await continuation(handler_call_details)

    def _refuse(self, why: str, error: ServiceError) -> Handler:
        """A handler that reads nothing, says ``error``, and serves for any kind of call."""

        async def refuse(_: object, context: Context) -> None:
            self._refused.count(why, context.peer())
            await abort(context, error)

        return grpc.stream_stream_rpc_method_handler(refuse)


class _Refused:
    """Tells the log of refused calls, at a rate that a flood cannot raise."""

    def __init__(self) -> None:
        self._since: Counter[str] = Counter()
        self._told_at = float("-inf")

    def count(self, why: str, peer: str) -> None:
        self._since[why] += 1
        now = time.monotonic()
        if now - self._told_at < _LOG_EVERY_S:
            return
        causes = ", ".join(f"{count} × {cause}" for cause, count in self._since.most_common())
        _log.warning("calls refused: %s; the last from %s", causes, peer)
        self._since.clear()
        self._told_at = now
