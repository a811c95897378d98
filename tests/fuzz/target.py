"""What a fuzz target is."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from importlib import import_module
from typing import Final

Run = Callable[[bytes], None]
Flip = Callable[[bytes, int], bytes]
"""Bytes and how many there may be → bytes with something changed."""

NAMES: Final = ("stream", "analyze", "decode", "bridge", "telephony", "settings", "policy")
"""Modules of `tests.fuzz.targets`."""


@dataclass(frozen=True)
class Target:
    """Code of ours that meets what strangers wrote, and what must hold of it.

    ``opened`` gives what takes an input and raises where something does not hold, such as `oracle.Found`.
    """

    opened: Callable[[], AbstractContextManager[Run]]
    seeds: Mapping[str, bytes]
    """Inputs to begin with, by name; synthetic."""
    most_bytes: int
    """The longest input."""
    words: Sequence[str] = ()
    """What the fuzzer may put into an input as a whole."""
    mutate: Callable[[bytes, int, int, Flip], bytes] | None = field(default=None)
    """Input, longest, seed, how to change bytes → input; None: bytes are changed anywhere."""


def stateless(run: Run) -> Callable[[], AbstractContextManager[Run]]:
    """Of a function that keeps nothing."""
    return lambda: nullcontext(run)


def find(name: str) -> Target:
    """One of `NAMES`."""
    target = import_module(f"tests.fuzz.targets.{name}").TARGET
    assert isinstance(target, Target)
    return target
