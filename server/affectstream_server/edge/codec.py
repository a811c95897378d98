"""Requests from bytes: what cannot be parsed becomes an error of ours, not a parser's text."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from google.protobuf.message import DecodeError, Message

from affectstream_server.errors import InvalidRequest, LimitReached, ServiceError

T = TypeVar("T", bound=Message)


def bounded(parse: Callable[[bytes], T], limit_bytes: int) -> Callable[[bytes], T | ServiceError]:
    """A request deserialiser that returns an error in place of a request it cannot make.

    gRPC would end the call as UNKNOWN with the parser's text if it raised.
    """

    def deserialise(data: bytes) -> T | ServiceError:
        if len(data) > limit_bytes:
            return LimitReached(
                f"request: got {len(data)} bytes, at most {limit_bytes} bytes a message",
                reason="MESSAGE_TOO_LARGE",
                field="request",
                value=f"{len(data)} bytes",
                limit=f"{limit_bytes} bytes",
            )
        try:
            return parse(data)
        except DecodeError:
            return InvalidRequest(
                "request", "bytes that do not parse", "a protobuf message", reason="MALFORMED_MESSAGE"
            )

    return deserialise
