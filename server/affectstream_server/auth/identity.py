"""Who calls."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, TypeGuard

_TENANT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
TENANT_FORM: Final = "1 to 64 letters, digits, '.', '_' or '-', the first a letter or a digit"


@dataclass(frozen=True, slots=True)
class Identity:
    """A caller, as its token says."""

    tenant: str
    """Whose sessions, quotas and events these are; of `TENANT_FORM`."""
    name: str
    """Which of the tenant's tokens; for logs, never for decisions."""


ANONYMOUS: Final = Identity("default", "")
"""Every caller of a server without tokens."""


def is_tenant(value: object) -> TypeGuard[str]:
    """Whether it can name a tenant: safe in keys, labels and logs."""
    return isinstance(value, str) and _TENANT.fullmatch(value) is not None
