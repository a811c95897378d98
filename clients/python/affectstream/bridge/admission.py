"""Who may open a WebSocket: the page's origin, the protocol's version, the caller's token, their trace."""

from __future__ import annotations

import re
from typing import Final

from aiohttp import web

from affectstream import errors
from affectstream.address import host_of, is_loopback
from affectstream.bridge import faults
from affectstream.bridge.settings import BridgeSettings
from affectstream.trace_context import is_traceparent, is_tracestate

PROTOCOL: Final = "affectstream.v1"
BEARER: Final = "bearer."
_TOKEN: Final = re.compile(r"[\x21-\x7e]{1,8192}")
_SCHEME: Final = re.compile(r"[Bb][Ee][Aa][Rr][Ee][Rr] +")


def check_origin(request: web.Request, settings: BridgeSettings) -> None:
    """Let no page of others use a visitor's microphone or network. Raises `PermissionDenied`.

    On a loopback address the bridge's own name must be a loopback's, too: any page can give itself a name
    that leads here.
    """
    origin = request.headers.get("Origin")
    if origin is None or origin in settings.allow_origins:
        return
    host = request.headers.get("Host", "")
    same = origin.partition("://")[2].lower() == host.lower() != ""
    if same and (not is_loopback(settings.listen) or is_loopback(host_of(host))):
        return
    raise errors.PermissionDenied(
        "Origin: this page may not use the bridge; its operator can name it with --allow-origin",
        reason="ORIGIN_NOT_ALLOWED",
        field="Origin",
        limit="the bridge's own, or one that --allow-origin names",
    )


def check_protocol(request: web.Request) -> None:
    """A caller that offers versions must offer ours. Raises `InvalidRequest`."""
    if _offers(request) and PROTOCOL not in _offers(request):
        raise faults.malformed("Sec-WebSocket-Protocol", "others", PROTOCOL, reason="PROTOCOL_NOT_SERVED")


def any_protocol(request: web.Request) -> tuple[str, ...]:
    """What may be agreed to where any protocol will do: no offer with a token. Raises `InvalidRequest`."""
    named = tuple(offer for offer in _offers(request) if not offer.startswith(BEARER))
    if _offers(request) and not named:
        raise faults.malformed(
            "Sec-WebSocket-Protocol", "a token alone", "a protocol beside it", reason="PROTOCOL_NOT_SERVED"
        )
    return named


def token_of(request: web.Request) -> str:
    """The token that the caller shows; empty: none. Never part of an error. Raises `Unauthenticated`."""
    header = request.headers.get("Authorization")
    if header is not None:
        return checked_token(_SCHEME.sub("", header, count=1) if _SCHEME.match(header) else "")
    offered = [offer.removeprefix(BEARER) for offer in _offers(request) if offer.startswith(BEARER)]
    return checked_token(offered[0]) if offered else ""


def checked_token(token: str) -> str:
    """A token that can be passed on. Raises `Unauthenticated`, in words that do not repeat it."""
    if _TOKEN.fullmatch(token) is None:
        raise errors.Unauthenticated(
            "authorization: expected 'Bearer TOKEN', 1 to 8192 visible ASCII characters",
            reason="TOKEN_NOT_ACCEPTED",
            field="authorization",
        )
    return token


def trace_of(request: web.Request) -> tuple[tuple[str, str], ...]:
    """The caller's trace, as the server takes it; empty: none, or one that is malformed."""
    parents, states = (request.headers.getall(name, []) for name in ("traceparent", "tracestate"))
    if len(parents) != 1 or not is_traceparent(parents[0]):
        return ()
    state = ",".join(states)
    return (("traceparent", parents[0]), *((("tracestate", state),) if is_tracestate(state) else ()))


def _offers(request: web.Request) -> list[str]:
    given = ",".join(request.headers.getall("Sec-WebSocket-Protocol", []))
    return [offer.strip() for offer in given.split(",") if offer.strip()]
