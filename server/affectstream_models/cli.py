"""`affectstream-models`: builds, judges and calibrates models.

A command is one line in `COMMANDS` and one module with `add_arguments(parser)` and `run(args) -> int`; the
module is imported only when its command is called, so that `--help` needs the standard library alone.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from affectstream_models.errors import ModelsError

PROGRAM = "affectstream-models"


@dataclass(frozen=True, slots=True)
class Command:
    """A subcommand: its name, the module that does it, the extra that module needs, and one line of help."""

    name: str
    module: str
    extra: str
    help: str


COMMANDS = (
    Command(
        "audit", "affectstream_models.audit", "models", "report what a model is swayed by, and whom it fails"
    ),
    Command("build", "affectstream_models.engine", "models", "compile MERaLiON-SER to a TensorRT engine"),
    Command("calibrate", "affectstream_models.calibrate", "models", "fit a model to your own labelled clips"),
    Command(
        "compare", "affectstream_models.compare", "models", "set trainings of several seeds side by side"
    ),
    Command("evaluate", "affectstream_models.evaluate", "models", "report how well a model hears"),
    Command("export", "affectstream_models.export", "models", "write MERaLiON-SER as an ONNX graph"),
    Command(
        "probe", "affectstream_models.probe", "models", "learn an output of your own from labelled clips"
    ),
    Command(
        "render",
        "affectstream_models.repository",
        "models",
        "write MERaLiON-SER's folder of the Triton repository",
    ),
    Command(
        "train", "affectstream_models.train", "models", "train the embedded model from a folder of audio"
    ),
)

EPILOG = f"""\
examples:
  {PROGRAM} train --audio DIR --out runs/seed1 --seed 1
  {PROGRAM} train --help

An audio folder holds manifest.tsv; AFFECTSTREAM_AUDIO names it where --audio is not given.
The commands need the extra `models`: pip install 'affectstream[models]'
"""


def parser_for(called: str | None) -> argparse.ArgumentParser:
    """The parser, with the arguments of the command that is called."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Build, judge and calibrate the models that Affectstream serves.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        subparser = commands.add_parser(
            command.name,
            help=command.help,
            description=command.help.capitalize() + ".",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        if command.name == called:
            importlib.import_module(command.module).add_arguments(subparser)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; returns its exit status, 2 for what the user can put right."""
    words = list(sys.argv[1:] if argv is None else argv)
    called = next((word for word in words if not word.startswith("-")), None)
    try:
        args = parser_for(called).parse_args(words)
        return int(importlib.import_module(_command(args.command).module).run(args))
    except ModelsError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
    except ModuleNotFoundError as error:
        if called is None or (error.name or "").startswith("affectstream"):
            raise
        extra = _command(called).extra
        print(
            f"{PROGRAM}: {called} needs {error.name}, which is not installed: "
            f"pip install 'affectstream[{extra}]'",
            file=sys.stderr,
        )
    except KeyboardInterrupt:
        print(f"{PROGRAM}: stopped", file=sys.stderr)
        return 130
    return 2


def _command(name: str) -> Command:
    return next(command for command in COMMANDS if command.name == name)


if __name__ == "__main__":
    sys.exit(main())
