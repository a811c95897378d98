"""From a call's `authorization` to an identity."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from affectstream_server.auth import tokens
from affectstream_server.auth.identity import ANONYMOUS, Identity
from affectstream_server.auth.refusal import Cause, NotAccepted
from affectstream_server.reload import Reloaded
from affectstream_server.settings_access import TOKEN_BYTES, AuthSettings

_SCHEME: Final = "bearer"


class Authenticator:
    """Every way to prove who calls that the settings name; none: everybody is `ANONYMOUS`."""

    def __init__(self, settings: AuthSettings) -> None:
        """Read what the settings name. Raises `SettingsError`."""
        self.on = settings.on
        """Whether a token is needed."""
        self._tokens: Reloaded[tokens.Tokens] | None = None
        self._jwt = None
        if settings.tokens_file:
            file = settings.tokens_file
            self._tokens = Reloaded("auth.tokens_file", [file], lambda: tokens.read(file))
        if settings.jwt:
            from affectstream_server.auth.jwt_tokens import JwtTokens

            self._jwt = JwtTokens(settings)

    async def identify(self, authorization: Sequence[str | bytes]) -> Identity:
        """Who calls, by the values of the call's `authorization`. Raises `NotAccepted` or `CannotTell`."""
        if not self.on:
            return ANONYMOUS
        token = _bearer(authorization)
        if self._tokens is not None:
            if self._tokens.changed:
                await asyncio.to_thread(self._tokens.renew)
            try:
                return self._tokens.value.identify(token)
            except NotAccepted:
                if self._jwt is None or token.startswith(tokens.PREFIX):
                    raise
        if self._jwt is None:
            raise NotAccepted(Cause.UNKNOWN)
        return await self._jwt.identify(token)

    async def close(self) -> None:
        """Stop what runs beside the calls."""
        if self._jwt is not None:
            await self._jwt.close()


def _bearer(authorization: Sequence[str | bytes]) -> str:
    if not authorization:
        raise NotAccepted(Cause.MISSING)
    (value, *more) = authorization
    scheme, _, token = value.partition(" ") if isinstance(value, str) else ("", "", "")
    if more or scheme.lower() != _SCHEME or not token or len(token) > TOKEN_BYTES:
        raise NotAccepted(Cause.MALFORMED)
    return token
