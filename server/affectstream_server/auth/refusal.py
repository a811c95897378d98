"""Why a token is not accepted: for our log. The caller is told nothing of it."""

from __future__ import annotations

from enum import Enum


class Cause(Enum):
    """What was wrong; the text is for operators and holds nothing of the token."""

    MISSING = "no token"
    MALFORMED = "not one 'Bearer TOKEN'"
    UNKNOWN = "unknown token"
    EXPIRED = "expired"
    SIGNATURE = "JWT that is not signed by a known key"
    ISSUER = "JWT of another issuer"
    AUDIENCE = "JWT for another audience"
    CLAIMS = "JWT without a usable exp or tenant, or not valid yet"


class NotAccepted(Exception):
    """This token opens nothing here."""

    def __init__(self, cause: Cause) -> None:
        super().__init__(cause.value)
        self.cause = cause


class CannotTell(Exception):
    """The keys that would say whether a token is good are not at hand."""
