"""What commands connect with: TLS and a token, from options and the environment."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from affectstream import environment
from affectstream.commands import InputError

if TYPE_CHECKING:
    from affectstream.client import AffectClient
    from affectstream.timeouts import Timeouts
    from affectstream.tls import Tls
    from affectstream.token import TokenSource


def add_tls_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of TLS."""
    group = parser.add_argument_group("TLS")
    group.add_argument("--tls", action="store_true", help="connect by TLS; implied by the options below")
    for option, variable, metavar, what in (
        ("--ca", environment.CA, "FILE", "PEM of the CA that signed the server's (default: the system's)"),
        ("--cert", environment.CERT, "FILE", "own certificate, PEM, for a server that asks for one"),
        ("--key", environment.KEY, "FILE", "its private key, PEM"),
        ("--server-name", environment.SERVER_NAME, "NAME", "name in its certificate, if not --server's"),
    ):
        group.add_argument(option, metavar=metavar, help=f"{what}; or ${variable}")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of TLS, and of the token."""
    add_tls_arguments(parser)
    group = parser.add_argument_group("token")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help=f"file that holds the token, read for every call; or ${environment.TOKEN_FILE}, "
        f"or the token itself in ${environment.TOKEN}",
    )
    group.add_argument(
        "--allow-plain-token",
        action="store_true",
        help="show the token in plain text to another machine: whoever is between can take it",
    )


def tls(args: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> Tls | None:
    """How to connect; None: in plain text.

    Raises:
        InputError: a file cannot be used, or one of a pair is missing.
    """
    from affectstream.tls import Tls

    ca = args.ca or environ.get(environment.CA) or None
    cert = args.cert or environ.get(environment.CERT) or None
    key = args.key or environ.get(environment.KEY) or None
    name = args.server_name or environ.get(environment.SERVER_NAME) or None
    if not (args.tls or ca or cert or key or name):
        return None
    if bool(cert) != bool(key):
        raise InputError("--cert and --key go together")
    found = Tls(ca_file=ca, cert_file=cert, key_file=key, server_name=name)
    try:
        found.credentials()
    except ValueError as error:
        raise InputError(str(error)) from None
    return found


def client(
    server: str,
    args: argparse.Namespace,
    timeouts: Timeouts | None = None,
    environ: Mapping[str, str] = os.environ,
) -> AffectClient:
    """The client of a command.

    Raises:
        InputError: what was given for TLS or the token cannot be used.
    """
    from affectstream.client import AffectClient

    file, text = args.token_file or environ.get(environment.TOKEN_FILE), environ.get(environment.TOKEN)
    source: TokenSource | None = text.strip() if text else None
    if file:
        _read(file)
        source = partial(_read, file)
    try:
        return AffectClient(
            server,
            tls=tls(args, environ) or False,
            token=source,
            timeouts=timeouts,
            allow_plain_token=args.allow_plain_token,
        )
    except ValueError as error:
        raise InputError(str(error)) from None


def _read(file: str) -> str:
    from affectstream.token import Token

    try:
        text = Path(file).read_text(encoding="ascii").strip()
        Token(text)
    except OSError as error:
        raise InputError(f"--token-file: {file}: cannot be read: {error.strerror}") from None
    except ValueError:
        raise InputError(f"--token-file: {file}: holds no token: one line of visible ASCII") from None
    return text
