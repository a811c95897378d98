"""What the processes hold of what is bounded over all, and which has which session."""

from __future__ import annotations

from collections import Counter

Name = tuple[str, str]
"""Tenant and session id."""


class Ledger:
    """Counts by process; nothing is refused here. A process that is gone holds nothing."""

    def __init__(self) -> None:
        self._held: dict[int, Counter[str]] = {}
        self._sessions: dict[Name, int] = {}

    def take(self, process: int, keys: list[str]) -> list[int]:
        """Count one of each for a process. Returns how many of each the others hold."""
        self._held.setdefault(process, Counter()).update(keys)
        others = [held for number, held in self._held.items() if number != process]
        return [sum(held[key] for held in others) for key in keys]

    def give_back(self, process: int, keys: list[str]) -> None:
        """What was taken is free again."""
        held = self._held.get(process)
        if held is None:
            return
        for key in keys:
            held[key] -= 1
            if held[key] <= 0:
                del held[key]

    def owner(self, name: Name) -> int | None:
        """Which process has the session, as far as it was told."""
        return self._sessions.get(name)

    def claim(self, process: int, name: Name) -> None:
        """The session is the process's from now on."""
        self._sessions[name] = process

    def gone(self, process: int, name: Name) -> None:
        """The process has the session no more."""
        if self._sessions.get(name) == process:
            del self._sessions[name]

    def forget(self, process: int) -> None:
        """The process is gone."""
        self._held.pop(process, None)
        for name in [name for name, owner in self._sessions.items() if owner == process]:
            del self._sessions[name]
