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


class Link:
    """One end. Lives on one event loop; `run` reads until the other end is gone."""

    def __init__(self, handle: Handler) -> None:
        """``handle`` is called for each message in order. What it returns, awaited where it can be, answers
        one that asks."""
        self._handle = handle
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None
        self._numbers = itertools.count(1)
        self._asked: dict[int, asyncio.Future[tuple[Fields, bytes]]] = {}
        self._answering: set[asyncio.Task[None]] = set()
        self._unsent: list[bytes] = []
        self.lost = False
        """The other end is gone."""

    async def open(self, end: socket.socket) -> None:
        """Take this end of the pair."""
        self._reader, self._writer = await asyncio.open_unix_connection(sock=end)

    def tell(self, kind: str, blob: bytes = b"", **fields: Any) -> None:
        """Send a message. Returns at once; one to an end that is gone goes nowhere."""
        self._send({"kind": kind} | fields, blob)

    async def ask(
        self, kind: str, blob: bytes = b"", *, within_s: float = ANSWER_S, **fields: Any
    ) -> tuple[Fields, bytes]:
        """Send a message and return its answer. Raises `LinkLost`."""
        if self.lost:
            raise LinkLost
        number = next(self._numbers)
        answer: asyncio.Future[tuple[Fields, bytes]] = asyncio.get_running_loop().create_future()
        self._asked[number] = answer
        self._send({"kind": kind, "ask": number} | fields, blob)
        try:
            async with asyncio.timeout(within_s):
                return await answer
        except TimeoutError:
            raise LinkLost from None
        finally:
            del self._asked[number]

    async def run(self) -> None:
        """Handle what comes until the other end is gone, and close this one."""
        assert self._reader is not None  # noqa: S101 - `open` was called
        try:
            while True:
                sizes = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                fields = json.loads(await self._reader.readexactly(sizes[0]))
                self._take(fields, await self._reader.readexactly(sizes[1]))
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            await self.close()

    async def close(self) -> None:
        """Close this end; who waits for an answer gets `LinkLost`."""
        self.lost = True
        for answer in self._asked.values():
            if not answer.done():
                answer.set_exception(LinkLost())
        for task in tuple(self._answering):
            task.cancel()
        if self._writer is not None:
            self._flush()
            self._writer.close()

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
        self._send({"answer": number} | fields, blob)

    def _send(self, fields: Fields, blob: bytes) -> None:
        if self.lost or self._writer is None:
            return
        head = json.dumps(fields, separators=(",", ":")).encode()
        if not self._unsent:  # what is said in one turn of the loop goes out as one
            asyncio.get_running_loop().call_soon(self._flush)
        self._unsent += (_HEAD.pack(len(head), len(blob)), head, blob)

    def _flush(self) -> None:
        unsent, self._unsent = self._unsent, []
        if not unsent or self._writer is None or self._writer.is_closing():
            return
        self._writer.writelines(unsent)
        if self._writer.transport.get_write_buffer_size() > _MOST_WAITING:
            _log.error("another process does not read: the link to it is cut")
            self.lost = True
            self._writer.transport.abort()
