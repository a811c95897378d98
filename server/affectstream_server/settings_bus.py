"""Settings of what is retained for watchers, and where."""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator

from affectstream.contract import LIMITS
from affectstream_server.section import Section

_SCHEMES: Final = ("redis", "rediss", "unix")


class BusSettings(Section):
    """What sessions say, retained for `WatchAffect`."""

    url: SecretStr = Field(
        SecretStr(""),
        description="redis://, rediss:// (TLS) or unix:// that every process shares; empty: events "
        "stay in this process. It may hold a password and is never shown",
    )
    prefix: str = Field(
        "affectstream", pattern=r"^[A-Za-z0-9._-]{1,64}$", description="of every key and channel in Redis"
    )
    retention_s: float = Field(
        LIMITS.retention_ms / 1_000,
        ge=1,
        le=LIMITS.retention_ms / 1_000,
        description="events are retained this long",
    )
    retention_events: int = Field(
        LIMITS.retention_events,
        ge=0,
        le=LIMITS.retention_events,
        description="events of a session that are retained; 0: none, and WatchAffect is off",
    )
    tenant_events: int = Field(
        10_000, ge=1, le=1_000_000, description="events of a tenant that are retained, over its sessions"
    )
    memory_bytes: int = Field(
        64 * 1024 * 1024,
        ge=1024 * 1024,
        description="memory of this process for events; with Redis: for its own sessions' events, which are "
        "published later or again where that is needed",
    )
    max_watchers: int = Field(1_000, ge=1, le=100_000, description="WatchAffect calls served at once")
    timeout_ms: int = Field(1_000, ge=10, le=60_000, description="an answer of Redis takes no longer")
    owner_s: float = Field(
        15.0,
        ge=0.2,
        le=600,
        description="sessions of a process that Redis has not heard from for this long are closed by others",
    )

    @property
    def on(self) -> bool:
        """Whether anything is retained."""
        return self.retention_events > 0

    @field_validator("url")
    @classmethod
    def _known(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        try:
            parts = urlsplit(text)
            parts.port  # noqa: B018 - raises for one that is none
        except ValueError:
            raise ValueError("expected redis://HOST:PORT/DB, with a port from 0 to 65535") from None
        if text and (parts.scheme not in _SCHEMES or not (parts.hostname or parts.path)):
            raise ValueError("expected redis://HOST:PORT/DB, rediss://HOST:PORT/DB or unix://PATH")
        return url
