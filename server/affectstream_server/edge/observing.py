"""Every call of ours is told to telemetry: its trace context, and how it ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Final

import grpc

from affectstream_server.errors import ServiceError

if TYPE_CHECKING:
    from affectstream_server.telemetry.calls import Call, Calls

    Handler = grpc.RpcMethodHandler[Any, Any] | None
    Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler]]
Context = grpc.aio.ServicerContext[Any, Any]

_HEADERS: Final = ("traceparent", "tracestate")
_OURS: Final = "/affectstream.v1.AffectService/"
_KINDS: Final = ("unary_unary", "unary_stream", "stream_unary", "stream_stream")
_REASON: Final[ContextVar[list[str] | None]] = ContextVar("reason", default=None)


_CALL: Final[ContextVar[Call | None]] = ContextVar("observed call", default=None)


def told_elsewhere() -> None:
    """The call that this task serves is another process's to tell of."""
    call = _CALL.get()
    if call is not None:
        call.leave()


def note_reason(error: ServiceError) -> None:
    """The call that this task serves ends with this error."""
    reasons = _REASON.get()
    if reasons is not None:
        reasons.append(error.reason)


class Observing(grpc.aio.ServerInterceptor):
    """Around every handler of ours, and around those that refuse."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def intercept_service(
        self, continuation: Continuation, handler_call_details: grpc.HandlerCallDetails
    ) -> Handler:
        handler = await continuation(handler_call_details)
        name = handler_call_details.method
        if handler is None or not name.startswith(_OURS):
            return handler
        kind = next(kind for kind in _KINDS if getattr(handler, kind) is not None)
        inner = getattr(handler, kind)
        given = handler_call_details.invocation_metadata or ()
        metadata = {key: str(value) for key, value in given if key in _HEADERS}

        async def observed(request: Any, context: Context) -> Any:
            call = self._calls.begin(name.removeprefix(_OURS), metadata, context.peer())
            _CALL.set(call)
            reasons: list[str] = []
            _REASON.set(reasons)
            try:
                answer = await inner(request, context)
            except asyncio.CancelledError:
                call.ended(_gone(context))
                raise
            except BaseException:
                call.reason = reasons[-1] if reasons else ""
                call.ended(_status(context))
                raise
            call.ended(_gone(context) if call.is_abandoned else "OK")
            return answer

        return handler._replace(**{kind: observed})  # type: ignore[attr-defined, no-any-return]


def _gone(context: Context) -> str:
    """The status of a call whose caller did not wait for its end, as far as we know it."""
    remaining_s = context.time_remaining()
    return "DEADLINE_EXCEEDED" if remaining_s is not None and remaining_s <= 0 else "CANCELLED"


def _status(context: Context) -> str:
    """The status that a handler ended its call with."""
    code: Any = context.code()
    if isinstance(code, grpc.StatusCode):
        return code.name
    return next((status.name for status in grpc.StatusCode if status.value[0] == code), "UNKNOWN")
