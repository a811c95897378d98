"""What is wrong with a policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One of them, where it stands."""

    line: int
    """From 1; 0: the whole file."""
    field: str
    value: str
    allowed: str

    def __str__(self) -> str:
        where = f"line {self.line}: " if self.line else ""
        return f"{where}{self.field}: got {self.value}, allowed: {self.allowed}"


class PolicyError(ValueError):
    """A policy that cannot be used; every problem by line, field, value and what is allowed."""

    def __init__(self, name: str, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        """All that was found."""
        super().__init__("\n".join(f"{name}: {problem}" for problem in self.problems))
