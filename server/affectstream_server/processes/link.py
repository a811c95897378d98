"""Messages between the supervisor and one of its processes, over a pair of sockets.

A message is a kind, fields that JSON knows, and bytes. It tells, or it asks and gets one answer.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
import socket
import struct
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

_log = logging.getLogger(__name__)

_HEAD: Final = struct.Struct(">II")
_MOST_WAITING: Final = 32 * 1024 * 1024
"""Bytes; an other end that leaves more unread is taken for gone."""
_LATER_S: Final = 0.05
ANSWER_S: Final = 2.0
"""An answer takes no longer, unless said otherwise."""

Fields = dict[str, Any]


class LinkLost(Exception):
    """The other end is gone, or does not answer in its time."""


class Message(NamedTuple):
    """What came."""

    kind: str
    fields: Fields
    blob: bytes = b""


Answer = tuple[Fields, bytes] | Fields | None
Handler = Callable[[Message], Answer | Awaitable[Answer]]


class Link(asyncio.Protocol):
    """One end. Lives on one event loop."""

    def __init__(self, handle: Handler) -> None:
        """``handle`` is called for each message in order. What it returns, awaited where it can be, answers
        one that asks."""
        self._handle = handle
        self._transport: asyncio.WriteTransport | None = None
        self._unread = bytearray()
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[tuple[Fields, bytes]]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._unsent: list[bytes] = []
        self._flushing: asyncio.Handle | None = None
        self._in_time = False
        self._over = asyncio.Event()
        self.lost = False
        """The other end is gone."""

    async def open(self, end: socket.socket) -> None:
        """Take this end of the pair, and what comes on it."""
        await asyncio.get_running_loop().create_unix_connection(lambda: self, sock=end)

    async def run(self) -> None:
        """Return when the other end is gone, or this one is closed."""
        await self._over.wait()

    def tell(self, kind: str, blob: bytes = b"", *, in_time: bool = True, **fields: Any) -> None:
        """Send a message. Returns at once; one to an end that is gone goes nowhere.

        Not ``in_time``: it may wait for others that are sent, up to 50 ms, so that it costs less.
        """
        self._send({"kind": kind} | fields, blob, in_time=in_time)

    async def ask(
        self, kind: str, blob: bytes = b"", *, within_s: float = ANSWER_S, **fields: Any
    ) -> tuple[Fields, bytes]:
        """Send a message and return its answer. Raises `LinkLost`."""
        if self.lost:
            raise LinkLost
        number = next(self._numbers)
        answer: asyncio.Future[tuple[Fields, bytes]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"kind": kind, "ask": number} | fields, blob, in_time=True)
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise LinkLost from None
        finally:
            del self._asked[number]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.WriteTransport)  # noqa: S101 - for the type checker
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """See `asyncio.Protocol`."""
        unread = self._unread
        unread += data
        begin = 0
        while len(unread) - begin >= _HEAD.size:
            fields, blob = (begin + size for size in _sizes(unread, begin))
            if len(unread) < blob:
                break
            told = json.loads(unread[begin + _HEAD.size : fields])
            self._take(told, bytes(unread[fields:blob]))
            begin = blob
        del unread[:begin]

    def connection_lost(self, _: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        self._end()

    async def close(self) -> None:
        """Close this end; who waits for an answer gets `LinkLost`."""
        if self._transport is not None:
            self._flush()
            self._transport.close()
        self._end()

    def _end(self) -> None:
        self.lost = True
        self._over.set()
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkLost())
        for task in tuple(self._answering):
            task.cancel()

    def _take(self, fields: Fields, blob: bytes) -> None:
        if (number := fields.pop("answer", None)) is not None:
            answer = self._asked.get(number)
            if answer is not None and not answer.done():
                answer.set_result((fields, blob))
            return
        number = fields.pop("ask", None)
        try:
            answered = self._handle(Message(fields.pop("kind"), fields, blob))
        except Exception:  # noqa: BLE001 - the next message must be handled, whatever this one met
            _log.exception("a message between processes failed")
            return
        if isinstance(answered, Awaitable):
            task = asyncio.ensure_future(self._answer_later(number, answered))
            self._answering.add(task)
            task.add_done_callback(self._answering.discard)
        elif number is not None:
            self._answer(number, answered)

    async def _answer_later(self, number: int | None, answered: Awaitable[Answer]) -> None:
        try:
            answer = await answered
        except LinkLost:
            return
        except Exception:  # noqa: BLE001 - as in `_take`
            _log.exception("a message between processes failed")
            return
        if number is not None:
            self._answer(number, answer)

    def _answer(self, number: int, answer: Answer) -> None:
        fields, blob = answer if isinstance(answer, tuple) else (answer or {}, b"")
        self._send({"answer": number} | fields, blob, in_time=True)

    def _send(self, fields: Fields, blob: bytes, *, in_time: bool) -> None:
        if self.lost or self._transport is None:
            return
        head = json.dumps(fields, separators=(",", ":")).encode()
        self._unsent += (_HEAD.pack(len(head), len(blob)), head, blob)
        if self._flushing is not None and (self._in_time or not in_time):
            return
        loop = asyncio.get_running_loop()
        if self._flushing is not None:
            self._flushing.cancel()
        # What is said in one turn of the loop goes out as one.
        self._flushing = loop.call_soon(self._flush) if in_time else loop.call_later(_LATER_S, self._flush)
        self._in_time = in_time

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        if not unsent or self._transport is None or self._transport.is_closing():
            return
        self._transport.write(b"".join(unsent))
        if self._transport.get_write_buffer_size() > _MOST_WAITING:
            _log.error("another process does not read: the link to it is cut")
            self._transport.abort()


def _sizes(unread: bytearray, at: int) -> tuple[int, int]:
    """Of the message there: up to the end of its fields, and of its bytes."""
    fields, blob = _HEAD.unpack_from(unread, at)
    return _HEAD.size + fields, _HEAD.size + fields + blob
