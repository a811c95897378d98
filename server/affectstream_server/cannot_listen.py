"""An address that cannot be had."""

from __future__ import annotations


class CannotListen(Exception):
    """The address cannot be bound; the message says which and what may help."""
