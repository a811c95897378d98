"""Watch the events of a session that others stream, or of every session of the tenant.

On a terminal: state, arousal and valence as they went, the last events, and how late they came. The line
may be lost: the watch comes back, and no event is missed or shown twice.

With --format jsonl every line of standard output is one affectstream.v1.SessionEvent in proto3 JSON; its
`cursor` is what --after takes. A session's watch ends with the session, a tenant's with Ctrl-C.

Exit status: 0 the session has ended, or Ctrl-C; 1 the server refused or failed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import binascii
import sys
from contextlib import suppress
from datetime import UTC, datetime

from affectstream.commands import InputError, access
from affectstream.commands.display import JsonLines, PlainLines
from affectstream.commands.playback import Display, Heard, ctrl_c, run_async
from affectstream.enums import WatchStart
from affectstream.errors import AffectStreamError, ConnectError
from affectstream.events import Event
from affectstream.reconnect import Reconnect
from affectstream.watch import AffectWatch

_LOOK_S = 0.2
"""How often a live view looks whether the line is lost."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream watch`."""
    parser.add_argument("session", nargs="?", metavar="SESSION", help="whose events")
    parser.add_argument("--all", action="store_true", help="of every session of the tenant, in place of one")
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="where a server is: any of them")
    parser.add_argument(
        "--from",
        dest="start",
        choices=("latest", "earliest"),
        default="latest",
        help="what comes from now on (default), or all that is retained",
    )
    parser.add_argument("--after", metavar="CURSOR", help="go on after this event, in place of --from")
    parser.add_argument(
        "--wait", type=float, default=0.0, metavar="S", help="wait so long for a session that has not begun"
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl"),
        default="table",
        help="default: %(default)s; plain lines in a pipe",
    )
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Watch it."""
    if args.all == (args.session is not None):
        raise InputError("give either a SESSION or --all")
    try:
        after = None if args.after is None else base64.b64decode(args.after, validate=True)
    except binascii.Error:
        raise InputError("--after: not the cursor of an event: expected base64") from None
    return run_async(_watch(args, after))


async def _watch(args: argparse.Namespace, after: bytes | None) -> int:
    try:
        async with (
            access.client(args.server, args) as client,
            client.watch(
                args.session,
                start=WatchStart[args.start.upper()],
                after=after,
                reconnect=Reconnect(give_up_after_s=float("inf")),
                wait_s=args.wait,
            ) as watch,
        ):
            display = JsonLines() if args.format == "jsonl" else view(args.session or "every session")
            try:
                await _show(watch, display)
            finally:
                display.close()
    except AffectStreamError as error:
        hint = "; start one with: affectstream serve" if isinstance(error, ConnectError) else ""
        print(f"affectstream watch: {error}{hint}", file=sys.stderr)
        return 1
    return 0


async def _show(watch: AffectWatch, display: Display) -> None:
    reading = asyncio.ensure_future(_read(watch, display))
    with ctrl_c(lambda: _cancel(reading)):
        while not reading.done():
            await asyncio.wait({reading}, timeout=_LOOK_S)
            if lost := getattr(display, "lost", None):
                lost(watch.lost)
    with suppress(asyncio.CancelledError):
        reading.result()


def _cancel(task: asyncio.Future[None]) -> None:
    task.cancel()


async def _read(watch: AffectWatch, display: Display) -> None:
    async for event in watch:
        display.heard(Heard(event, lag_ms(event)))


def lag_ms(event: Event) -> float | None:
    """From the server's clock to ours, where the event says when it was sent."""
    if event.server_time is None:
        return None
    return (datetime.now(UTC) - event.server_time).total_seconds() * 1_000


def view(title: str) -> Display:
    """A live view on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        return PlainLines()
    try:
        from affectstream.commands.watch_view import WatchView
    except ImportError:
        print('plain lines; a live view comes with: pip install "affectstream[cli]"', file=sys.stderr)
        return PlainLines()
    return WatchView(title)
