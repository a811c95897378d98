"""JWTs of an identity provider, checked with PyJWT against its public keys."""

from __future__ import annotations

from typing import Any, Final

from affectstream_server.auth.identity import Identity, is_tenant
from affectstream_server.auth.refusal import Cause, NotAccepted
from affectstream_server.section import SettingsError
from affectstream_server.settings_access import AuthSettings

try:
    import jwt

    from affectstream_server.auth.jwks import ALGORITHMS, KeyAddress, KeyFile, Keys
except ImportError as missing:
    raise SettingsError(
        f"auth.jwks_*: {missing.name} is not installed; it comes with: pip install 'affectstream[jwt]'"
    ) from None

_CAUSES: Final[tuple[tuple[type[Exception], Cause], ...]] = (
    (jwt.ExpiredSignatureError, Cause.EXPIRED),
    (jwt.InvalidAudienceError, Cause.AUDIENCE),
    (jwt.InvalidIssuerError, Cause.ISSUER),
    (jwt.InvalidSignatureError, Cause.SIGNATURE),
    (jwt.InvalidAlgorithmError, Cause.SIGNATURE),
    (jwt.DecodeError, Cause.UNKNOWN),
    (jwt.PyJWTError, Cause.CLAIMS),
)


class JwtTokens:
    """Whose a JWT is. It must expire, and be of our issuer and for us."""

    def __init__(self, settings: AuthSettings) -> None:
        """Raises `SettingsError`."""
        self._settings = settings
        self._keys: Keys = (
            KeyFile(settings.jwks_file)
            if settings.jwks_file
            else KeyAddress(settings.jwks_url, settings.jwks_ca_file, settings.jwks_refresh_s)
        )

    async def identify(self, token: str) -> Identity:
        """Whose it is. Raises `NotAccepted` or `CannotTell`."""
        try:
            key_id = jwt.get_unverified_header(token).get("kid")
            if not isinstance(key_id, str):
                raise NotAccepted(Cause.SIGNATURE)
            key = await self._keys.find(key_id)
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=ALGORITHMS,
                issuer=self._settings.issuer,
                audience=self._settings.audience,
                leeway=self._settings.leeway_s,
                options={"require": ["exp", "iss", "aud"], "enforce_minimum_key_length": True},
            )
        except (jwt.PyJWTError, ValueError) as error:
            raise NotAccepted(_cause(error)) from None
        tenant, subject = claims.get(self._settings.tenant_claim), claims.get("sub")
        if not is_tenant(tenant):
            raise NotAccepted(Cause.CLAIMS)
        return Identity(tenant, subject[:64] if isinstance(subject, str) and subject.isprintable() else "")

    async def close(self) -> None:
        """Stop what runs beside the calls."""
        await self._keys.close()


def _cause(error: Exception) -> Cause:
    return next((cause for kind, cause in _CAUSES if isinstance(error, kind)), Cause.CLAIMS)
