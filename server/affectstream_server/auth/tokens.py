"""Tokens that this server's operator hands out: random secrets, of which a file holds the hashes."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final

import yaml
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from affectstream_server.auth.identity import TENANT_FORM, Identity, is_tenant
from affectstream_server.auth.refusal import Cause, NotAccepted
from affectstream_server.reload import read_bytes
from affectstream_server.section import YAML_FAULTS, SettingsError

PREFIX: Final = "afs_"
"""Secret scanners and people know one by it."""
_SECRET_BYTES: Final = 32
_MOST_TOKENS: Final = 10_000
_FILE_BYTES: Final = 4 * 1024 * 1024


def _tenant(value: str) -> str:
    if not is_tenant(value):
        raise ValueError(f"expected {TENANT_FORM}")
    return value


class Entry(BaseModel):
    """One token in the file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[\w.@ -]+$")]
    tenant: Annotated[str, AfterValidator(_tenant)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    expires: AwareDatetime | None = None


@dataclass(frozen=True, slots=True)
class _Known:
    identity: Identity
    expires_s: float


class Tokens:
    """Which secret is whose.

    A fast hash is enough: a secret holds 256 random bits, so nobody finds it by trying, as one finds a
    password. It is looked up by an HMAC under a key of this process: how long that takes depends
    on nothing that a caller can choose.
    """

    def __init__(self, entries: list[Entry], now_s: Callable[[], float] = time.time) -> None:
        self._blind = secrets.token_bytes(32)
        self._now_s = now_s
        self._known = {
            self._key(bytes.fromhex(entry.sha256)): _Known(
                Identity(entry.tenant, entry.name),
                entry.expires.timestamp() if entry.expires else float("inf"),
            )
            for entry in entries
        }

    def __len__(self) -> int:
        return len(self._known)

    def identify(self, secret: str) -> Identity:
        """Whose it is. Raises `NotAccepted`."""
        known = self._known.get(self._key(_digest(secret)))
        if known is None:
            raise NotAccepted(Cause.UNKNOWN)
        if known.expires_s <= self._now_s():
            raise NotAccepted(Cause.EXPIRED)
        return known.identity

    def _key(self, digest: bytes) -> bytes:
        return hmac.digest(self._blind, digest, "sha256")


def read(file: str) -> Tokens:
    """The tokens of ``auth.tokens_file``. Raises `SettingsError`, which names the entry and the field."""
    content = read_bytes("auth.tokens_file", file, _FILE_BYTES)
    where = f"auth.tokens_file: {file}"
    try:
        listed: Any = yaml.load(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
    except (yaml.YAMLError, *YAML_FAULTS):
        raise SettingsError(f"{where}: not valid YAML") from None
    if not isinstance(listed, list):
        raise SettingsError(f"{where}: expected a list of {{name, tenant, sha256, expires}}")
    if len(listed) > _MOST_TOKENS:
        raise SettingsError(f"{where}: got {len(listed)} tokens, expected at most {_MOST_TOKENS}")
    entries: list[Entry] = []
    lines: dict[str, int] = {}
    for number, item in enumerate(listed, start=1):
        entry = _entry(item, f"{where}: entry {number}")
        if (before := lines.setdefault(entry.sha256, number)) != number:
            raise SettingsError(f"{where}: entry {number}: sha256: the same as in entry {before}")
        entries.append(entry)
    return Tokens(entries)


def make(tenant: str, name: str, expires: datetime | None) -> tuple[str, str]:
    """A new secret, and the line that lets it in. Raises `SettingsError` for a bad name or tenant."""
    secret = PREFIX + secrets.token_urlsafe(_SECRET_BYTES)
    fields = {"name": name, "tenant": tenant, "sha256": _digest(secret).hex(), "expires": expires}
    entry = _entry(fields, "new token")
    shown = {key: value for key, value in entry.model_dump(mode="json").items() if value is not None}
    return secret, yaml.safe_dump([shown], default_flow_style=None, sort_keys=False, width=1_000)


def in_days(days: float) -> datetime:
    """When a token made now expires."""
    return datetime.fromtimestamp(round(time.time() + days * 86_400), UTC)


def _digest(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


def _entry(item: Any, where: str) -> Entry:
    try:
        return Entry.model_validate(item)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])
        what = first["msg"].removeprefix("Value error, ")
        raise SettingsError(": ".join(filter(None, (where, field, what)))) from None
