"""Who calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as its token says."""

    tenant: str
    """Whose sessions, quotas and events these are."""
    name: str
    """Which of the tenant's tokens; for logs, never for decisions."""


ANONYMOUS: Final = Identity("default", "")
"""Every caller of a server without authentication."""
