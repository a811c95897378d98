"""What the processes hold of what is bounded over all, and which has which session."""

from __future__ import annotations

from collections import Counter

Name = tuple[str, str]
"""Tenant and session id."""


class Ledger:
    """Counts by process. A process that is gone holds nothing."""

    def __init__(self) -> None:
        self._held: dict[int, Counter[str]] = {}
        self._taken: dict[int, dict[int, list[str]]] = {}
        self._sessions: dict[Name, int] = {}

    def take(self, process: int, number: int, keys: list[str], limit: int = 0) -> list[int] | None:
        """Count one of each for a process, under a number of its own.

        Returns how many of each the others hold. None: nothing was counted, since ``limit`` of the last key
        are held already; 0 is no limit.
        """
        if limit and sum(held[keys[-1]] for held in self._held.values()) >= limit:
            return None
        self._held.setdefault(process, Counter()).update(keys)
        self._taken.setdefault(process, {})[number] = keys
        others = [held for one, held in self._held.items() if one != process]
        return [sum(held[key] for held in others) for key in keys]

    def give_back(self, process: int, number: int) -> None:
        """What was taken under the number is free again, where it was taken."""
        for key in self._taken.get(process, {}).pop(number, ()):
            held = self._held[process]
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
        self._taken.pop(process, None)
        for name in [name for name, owner in self._sessions.items() if owner == process]:
            del self._sessions[name]
