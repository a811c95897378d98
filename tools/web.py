"""`make web`: a server and a bridge before it on free ports of this machine. Ctrl-C ends both.

Settings of the server come from the environment, as ever; unless it names another, the policy for guidance
is the sensitive one, since the default has little to say of what the bundled model hears.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path

from affectstream.bridge.bridge import Bridge
from affectstream.bridge.settings import BridgeSettings
from affectstream.commands.local_server import local_server
from affectstream.errors import AffectStreamError


def main() -> int:
    """Run until Ctrl-C. Returns 1 where the server does not start."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="the page's port (default: a free one)")
    parser.add_argument("--log", type=Path, default=Path("runs/web/server.log"), help="default: %(default)s")
    args = parser.parse_args()
    args.log.parent.mkdir(parents=True, exist_ok=True)
    os.environ.setdefault("AFFECTSTREAM_GUIDANCE__POLICY", "sensitive")
    try:
        asyncio.run(_serve(args.port, args.log))
    except AffectStreamError as error:
        sys.stderr.write(f"make web: {error}; the server's messages: {args.log}\n")
        return 1
    return 0


async def _serve(port: int, log: Path) -> None:
    sys.stdout.write("starting a server ...\n")
    sys.stdout.flush()
    async with local_server(log) as server:
        bridge = Bridge(BridgeSettings(server=server, listen=f"127.0.0.1:{port}"))
        await bridge.serve_until_signalled(_say)


def _say(address: str) -> None:
    sys.stdout.write(f"open http://{address}/ in a browser; Ctrl-C ends it\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
