"""Make a token for callers of a server that asks for one.

The secret goes to standard output, once and nowhere else; its SHA-256 goes into the server's tokens file,
with --add, or by hand. A server that is running takes it from there at once.
"""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

from affectstream.commands import missing_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The server's own arguments."""
    _server().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Make it."""
    status: int = _server().run(args)
    return status


def _server() -> ModuleType:
    try:
        return import_module("affectstream_server.auth.command")
    except ImportError as error:
        raise missing_extra("server", error.name) from None
