"""The commands of the command line, one module each: `add_arguments(parser)` and `run(args) -> int`."""

from __future__ import annotations


class InputError(Exception):
    """What the user gave cannot be used: one line that says what, and what would do."""


def missing_extra(extra: str, module: str | None) -> InputError:
    """What to say when a command needs a package that is not installed."""
    return InputError(
        f'{module or extra} is not installed; it comes with: pip install "affectstream[{extra}]"'
    )
