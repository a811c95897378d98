"""Start the server and say when it is ready. Stops in an orderly way on SIGTERM and Ctrl-C."""

from __future__ import annotations

import argparse
from importlib import import_module
from types import ModuleType

from affectstream.commands import missing_extra


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The server's own arguments."""
    _server().add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop."""
    status: int = _server().run(args)
    return status


def _server() -> ModuleType:
    """The server's entry point; by name, since a client's installation does not have what it imports."""
    try:
        return import_module("affectstream_server.__main__")
    except ImportError as error:
        raise missing_extra("server", error.name) from None
