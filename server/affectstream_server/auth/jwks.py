"""The public keys that sign JWTs: from a file, or fetched and kept."""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import time
import urllib.request
from collections.abc import Mapping
from typing import Any, Final, Protocol
from urllib.error import HTTPError, URLError

import jwt

from affectstream_server.auth.refusal import CannotTell, Cause, NotAccepted
from affectstream_server.reload import Reloaded, read_bytes
from affectstream_server.section import SettingsError

_log = logging.getLogger(__name__)

ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
"""Asymmetric ones alone: nobody who can check a token can make one."""
_SET_BYTES: Final = 256 * 1024
_MOST_KEYS: Final = 64
_FETCH_S: Final = 5.0
_AGAIN_S: Final = 10.0
"""A key that is not known makes us look again, but not more often than this."""

KeySet = Mapping[str, jwt.PyJWK]


class Keys(Protocol):
    """Where keys come from."""

    async def find(self, key_id: str) -> jwt.PyJWK:
        """The key of that id. Raises `NotAccepted` or `CannotTell`."""
        ...

    async def close(self) -> None:
        """Stop what runs beside the calls."""
        ...


class KeyFile:
    """A key set in a file."""

    def __init__(self, file: str) -> None:
        """Raises `SettingsError`."""
        self._keys = Reloaded("auth.jwks_file", [file], lambda: _read(file))

    async def find(self, key_id: str) -> jwt.PyJWK:
        """See `Keys`."""
        if self._keys.changed:
            await asyncio.to_thread(self._keys.renew)
        return _of(self._keys.value, key_id)

    async def close(self) -> None:
        """Nothing runs."""


class KeyAddress:
    """A key set at an https address. One fetch at a time; while none succeeds the keys at hand stay."""

    def __init__(self, url: str, ca_file: str, refresh_s: float) -> None:
        """Raises `SettingsError`. Nothing is fetched before the first `find`."""
        self._url = url
        self._refresh_s = refresh_s
        self._keys: KeySet | None = None
        self._looked_at = float("-inf")
        self._fetched_at = float("-inf")
        self._fetching: asyncio.Task[None] | None = None
        try:
            self._tls = ssl.create_default_context(cafile=ca_file or None)
        except (OSError, ValueError):
            raise SettingsError(f"auth.jwks_ca_file: {ca_file}: holds no certificate in PEM") from None

    async def find(self, key_id: str) -> jwt.PyJWK:
        """See `Keys`."""
        now = time.monotonic()
        known = self._keys is not None and key_id in self._keys
        due = now - self._fetched_at >= self._refresh_s if known else True
        if due and self._fetching is None and now - self._looked_at >= _AGAIN_S:
            self._looked_at = now
            self._fetching = asyncio.get_running_loop().create_task(self._fetch())
        if not known and self._fetching is not None:
            await asyncio.wait([self._fetching])
        if self._keys is None:
            raise CannotTell
        return _of(self._keys, key_id)

    async def close(self) -> None:
        """Wait for a fetch that is on its way: it is bounded."""
        if self._fetching is not None:
            await asyncio.wait([self._fetching])

    async def _fetch(self) -> None:
        try:
            content = await asyncio.to_thread(_download, self._url, self._tls)
            self._keys = parse(content)
            self._fetched_at = time.monotonic()
        except (OSError, ValueError) as error:
            kept = "none is at hand" if self._keys is None else "those before stay"
            _log.error("auth.jwks_url: keys cannot be had, %s: %s", kept, _cause(error))
        finally:
            self._fetching = None


def parse(content: bytes) -> KeySet:
    """The keys that can sign for us, by id. Raises `ValueError`, whose text is safe to show."""
    try:
        listed: Any = json.loads(content)["keys"]
    except (ValueError, TypeError, KeyError):
        raise ValueError('not a JSON Web Key Set: {"keys": [...]}') from None
    if not isinstance(listed, list) or len(listed) > _MOST_KEYS:
        raise ValueError(f"expected a list of at most {_MOST_KEYS} keys")
    keys: dict[str, jwt.PyJWK] = {}
    for data in listed:
        if not isinstance(data, dict) or data.get("use", "sig") != "sig" or not data.get("kid"):
            continue
        try:
            key = jwt.PyJWK(data)
        except jwt.PyJWTError:
            continue  # sets hold keys of kinds that others use
        if key.algorithm_name in ALGORITHMS:
            keys[str(data["kid"])] = key
    if not keys:
        raise ValueError(f"no signing key with a kid, of {', '.join(ALGORITHMS)}")
    return keys


def _read(file: str) -> KeySet:
    try:
        return parse(read_bytes("auth.jwks_file", file, _SET_BYTES))
    except ValueError as error:
        raise SettingsError(f"auth.jwks_file: {file}: {error}") from None


def _of(keys: KeySet, key_id: str) -> jwt.PyJWK:
    key = keys.get(key_id)
    if key is None:
        raise NotAccepted(Cause.SIGNATURE)
    return key


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: object) -> None:
        return None


def _download(url: str, tls: ssl.SSLContext) -> bytes:
    """At most `_SET_BYTES`, in a time that is bounded though the other side drips. Not for the event loop."""
    until = time.monotonic() + _FETCH_S
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler(context=tls))
    content = b""
    with opener.open(url, timeout=_FETCH_S) as response:
        while part := response.read1(65_536):
            content += part
            if len(content) > _SET_BYTES:
                raise ValueError(f"longer than {_SET_BYTES} bytes")
            if time.monotonic() > until:
                raise TimeoutError(f"not within {_FETCH_S:g} s")
    return content


def _cause(error: Exception) -> str:
    if isinstance(error, HTTPError):
        error.close()
        return f"HTTP {error.code}"
    reason = error.reason if isinstance(error, URLError) else error
    return str(reason) or type(reason).__name__
