"""`affectstream token`: make a token, and let it in."""

from __future__ import annotations

import argparse
import os
import secrets
import sys
import tempfile
from pathlib import Path

from affectstream_server.auth import tokens
from affectstream_server.auth.identity import TENANT_FORM
from affectstream_server.section import SettingsError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `affectstream token`."""
    parser.add_argument("--tenant", required=True, metavar="TENANT", help=f"whose it is: {TENANT_FORM}")
    parser.add_argument("--name", metavar="NAME", help="what it is called in the log (default: made up)")
    parser.add_argument("--days", type=_days, metavar="N", help="it expires after so many (default: never)")
    parser.add_argument(
        "--add", type=Path, metavar="FILE", help="add its line to this tokens file, which may be new"
    )


def run(args: argparse.Namespace) -> int:
    """Make it. Returns the exit code: 0 made, 2 a bad option or file."""
    expires = None if args.days is None else tokens.in_days(args.days)
    try:
        secret, line = tokens.make(args.tenant, args.name or f"token-{secrets.token_hex(4)}", expires)
        if args.add is not None:
            _add(args.add, line)
    except SettingsError as error:
        sys.stderr.write(f"affectstream token: {error}\n")
        return 2
    if args.add is None:
        sys.stderr.write(f"for the tokens file (auth.tokens_file):\n{line}")
    sys.stderr.write("the secret, for the caller; it is shown this once:\n")
    sys.stderr.flush()
    sys.stdout.write(f"{secret}\n")
    return 0


def _add(file: Path, line: str) -> None:
    """Put the line at the end, at once and only if the whole is good: a server may be reading the file."""
    try:
        before = file.read_text(encoding="utf-8") if file.exists() else ""
        mode = file.stat().st_mode & 0o777 if before else 0o644
        handle, name = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"--add: {file}: {getattr(error, 'strerror', None) or 'not text'}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(before if not before or before.endswith("\n") else f"{before}\n")
            stream.write(line)
        try:
            tokens.read(name)
        except SettingsError as error:
            raise SettingsError(str(error).replace(f"auth.tokens_file: {name}", f"--add: {file}")) from None
        Path(name).chmod(mode)
        Path(name).replace(file)
    finally:
        Path(name).unlink(missing_ok=True)


def _days(text: str) -> float:
    value = float(text)
    if not 0 < value <= 3_650:
        raise argparse.ArgumentTypeError(f"{text} is not above 0 and at most 3650")
    return value
