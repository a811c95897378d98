"""Let browsers and telephone providers speak to a server, by WebSocket. Drains on SIGTERM and Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import logging
import sys

from affectstream.commands import InputError, access, missing_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The bridge's options."""
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="the Affectstream server")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:8080",
        metavar="HOST:PORT",
        help="default: %(default)s; port 0: a free one",
    )
    parser.add_argument("--tls-cert", metavar="FILE", help="the bridge's own certificate, PEM")
    parser.add_argument("--tls-key", metavar="FILE", help="its private key, PEM")
    parser.add_argument("--insecure", action="store_true", help="let other machines in without TLS")
    parser.add_argument(
        "--allow-origin",
        action="append",
        default=[],
        metavar="ORIGIN",
        help="let pages of this origin in, such as https://app.example.org; may be repeated",
    )
    parser.add_argument(
        "--max-connections", type=int, default=1_000, metavar="N", help="default: %(default)s"
    )
    parser.add_argument(
        "--drain",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="what streams have to end by themselves when told to stop (default: %(default)g)",
    )
    parser.add_argument(
        "--allow-plain-token",
        action="store_true",
        help="pass tokens on in plain text to another machine: whoever is between can take them",
    )
    access.add_tls_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns 0 drained, 1 cannot listen.

    Raises:
        InputError: a setting that would be unsafe or cannot be used.
    """
    try:
        from affectstream.bridge.bridge import Bridge, CannotListen
    except ImportError as error:
        raise missing_extra("bridge", error.name) from None
    from affectstream.bridge.settings import BridgeSettings

    if args.max_connections < 1 or not 0 <= args.drain <= 600:
        raise InputError("--max-connections: expected 1 or more; --drain: expected 0 to 600")
    logging.basicConfig(
        level=logging.INFO, stream=sys.stderr, format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    try:
        bridge = Bridge(
            BridgeSettings(
                server=args.server,
                tls=access.tls(args),
                allow_plain_token=args.allow_plain_token,
                listen=args.listen,
                cert_file=args.tls_cert,
                key_file=args.tls_key,
                insecure=args.insecure,
                allow_origins=tuple(args.allow_origin),
                max_connections=args.max_connections,
                drain_s=args.drain,
            )
        )
    except ValueError as error:
        raise InputError(str(error)) from None
    try:
        asyncio.run(bridge.serve_until_signalled(_say_ready))
    except CannotListen as error:
        sys.stderr.write(f"affectstream bridge: {error}\n")
        return 1
    return 0


def _say_ready(address: str) -> None:
    sys.stdout.write(f"affectstream bridge: ready on {address}\n")
    sys.stdout.flush()
