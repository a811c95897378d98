"""Remove what a server retains of a session for those who watch it.

A session that goes on is not ended, and what it says from then on is retained.

Exit status: 0 it is removed; 1 there is nothing of that name, or the server failed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import sys

from affectstream.commands import access
from affectstream.commands.playback import run_async
from affectstream.errors import AffectStreamError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream purge`."""
    parser.add_argument("session", metavar="SESSION", help="whose events")
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="where a server is: any of them")
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Remove it."""
    return run_async(_purge(args))


async def _purge(args: argparse.Namespace) -> int:
    try:
        async with access.client(args.server, args) as client:
            count = await client.purge(args.session)
    except AffectStreamError as error:
        print(f"affectstream purge: {error}", file=sys.stderr)
        return 1
    print(f"{count} events of {args.session} removed")
    return 0
