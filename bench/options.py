"""Types of command-line options."""

from __future__ import annotations

import argparse
from collections.abc import Callable


def within(kind: Callable[[str], float], least: float, most: float) -> Callable[[str], float]:
    """A number from ``least`` to ``most``."""

    def convert(text: str) -> float:
        value = kind(text)
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"got {text}, expected {least} to {most}")
        return value

    convert.__name__ = kind.__name__
    return convert
