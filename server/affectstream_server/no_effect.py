"""A control that cannot take effect: the stream goes on, and a warning says why."""

from __future__ import annotations


class NoEffect(Exception):
    """The warning's code, message, value and limit."""

    def __init__(self, code: str, message: str, value: object = "", limit: object = "") -> None:
        super().__init__(message)
        self.code, self.value, self.limit = code, value, limit
