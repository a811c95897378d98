"""The command line: `affectstream COMMAND ...`.

Exit status: 0 all went well; 1 the server or the stream failed; 2 wrong usage, an input that cannot be
read, or something that is not installed; 130 interrupted before an orderly end.

A command's module is imported when it is called, so that `--help` is quick and a command needs only
its own extra.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from importlib.metadata import version
from io import TextIOWrapper
from typing import Final

from affectstream.commands import InputError

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_USAGE: Final = 2
EXIT_INTERRUPTED: Final = 130

COMMANDS: Final = {
    "stream": "send a recording, raw PCM or the microphone to a server and show the events",
    "analyze": "score recordings of one utterance each, files and folders, into CSV or JSON lines",
    "info": "what a server is; without --server, what is installed here",
    "watch": "show the events of a session that others stream, or of every session",
    "purge": "remove what a server retains of a session for those who watch it",
    "serve": "start the server",
    "bridge": "let browsers and telephone providers in, by WebSocket",
    "tone": "check what a policy says to whoever writes the reply, and play a recorded session against it",
    "doctor": "check a deployment end to end, and say how to mend it",
    "capacity": "estimate how many cores, GPUs and links some number of calls takes",
    "token": "make a token for callers of a server that asks for one",
    "demo": "start a server, stream the bundled talk to it, show and draw what it heard",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: Arguments without the program's name; None: those of the process.

    Returns:
        The exit status, as the module says.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] not in COMMANDS:
        return _top_level(arguments)
    name, *rest = arguments
    if name != "serve":
        os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # of a failed handshake our own line tells
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")  # an arrow must not end a command on an old terminal
    try:
        command = import_module(f"affectstream.commands.{name}")
        parser = argparse.ArgumentParser(
            prog=f"affectstream {name}",
            description=command.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        command.add_arguments(parser)
        status: int = command.run(parser.parse_args(rest))
        sys.stdout.flush()
    except InputError as error:
        print(f"affectstream {name}: {error}", file=sys.stderr)
        return EXIT_USAGE
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader of our output went away, as `| head` does; the interpreter's own flush must not fail.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    return status


def _top_level(arguments: list[str]) -> int:
    width = max(len(name) for name in COMMANDS) + 2
    parser = argparse.ArgumentParser(
        prog="affectstream",
        usage="affectstream COMMAND ...",
        description="Hear how something was said: affect events for voice agents.",
        epilog="commands:\n"
        + "\n".join(f"  {name:{width}}{summary}" for name, summary in COMMANDS.items())
        + "\n\n`affectstream COMMAND --help` says more.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"affectstream {version('affectstream')}")
    parser.add_argument("command", metavar="COMMAND", choices=COMMANDS, help="see below")
    parser.parse_args(arguments)  # answers --help and --version, refuses everything else
    return EXIT_USAGE


if __name__ == "__main__":
    sys.exit(main())
