"""Settings of who may connect: certificates and tokens."""

from __future__ import annotations

from typing import Final, Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from affectstream.address import is_loopback
from affectstream_server.section import Section

TOKEN_BYTES: Final = 6_144
"""The longest token that is looked at; the transport takes 16 KiB of metadata in all."""


class TlsSettings(Section):
    """Certificates, as PEM files. They are read again when they change: no restart."""

    cert_file: str = Field(
        "", description="the server's certificate and what chains it to its CA; empty: no TLS"
    )
    key_file: str = Field("", description="its private key, without a passphrase")
    client_ca_file: str = Field(
        "", description="callers must show a certificate that this CA signed; empty: any"
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if bool(self.cert_file) != bool(self.key_file):
            missing, given = ("key_file", "cert_file") if self.cert_file else ("cert_file", "key_file")
            raise ValueError(f"{missing}: got '', expected a file: {given} is set")
        if self.client_ca_file and not self.cert_file:
            raise ValueError("cert_file: got '', expected a file: client_ca_file is set")
        return self


class AuthSettings(Section):
    """Tokens: ``authorization: Bearer TOKEN``. The caller's tenant is the token's."""

    tokens_file: str = Field(
        "", description="YAML list of {name, tenant, sha256, expires}; read again on change"
    )
    jwks_file: str = Field("", description="JSON Web Key Set that signs JWTs; read again on change")
    jwks_url: str = Field("", description="the same at an https address")
    jwks_ca_file: str = Field("", description="PEM of the CA behind jwks_url; empty: the system's")
    jwks_refresh_s: float = Field(300.0, ge=10, le=86_400, description="the key set is fetched this often")
    issuer: str = Field("", max_length=256, description="a JWT's iss must be this")
    audience: str = Field("", max_length=256, description="a JWT's aud must hold this")
    tenant_claim: str = Field(
        "tenant", min_length=1, max_length=64, description="the JWT's claim of a tenant"
    )
    leeway_s: float = Field(10.0, ge=0, le=30, description="how far clocks may differ")

    @property
    def jwt(self) -> bool:
        """Whether JWTs are taken."""
        return bool(self.jwks_file or self.jwks_url)

    @property
    def on(self) -> bool:
        """Whether callers must show a token."""
        return bool(self.tokens_file) or self.jwt

    @model_validator(mode="after")
    def _whole(self) -> Self:
        url = urlsplit(self.jwks_url)
        if self.jwks_url and (url.scheme != "https" or not url.hostname or url.username is not None):
            raise ValueError("jwks_url: expected https://HOST/PATH, without a user or a password")
        if self.jwks_file and self.jwks_url:
            raise ValueError(f"jwks_url: got {self.jwks_url!r}, expected '': jwks_file is set")
        for name in ("issuer", "audience"):
            if self.jwt and not getattr(self, name):
                raise ValueError(
                    f"{name}: got '', expected what a JWT must say: its keys sign for others too"
                )
        return self


def exposed(address: str, tls: TlsSettings, auth: AuthSettings) -> str:
    """What is wrong with listening at ``address`` with these; empty: nothing."""
    missing = [
        what
        for what, on in (
            ("TLS (tls.cert_file, tls.key_file)", bool(tls.cert_file)),
            (
                "authentication (auth.tokens_file, auth.jwks_*, tls.client_ca_file)",
                auth.on or bool(tls.client_ca_file),
            ),
        )
        if not on
    ]
    is_address = address.rpartition(":")[2].isdecimal()  # else nothing will listen there
    if not missing or not is_address or is_loopback(address):
        return ""
    return (
        f"got {address!r}, which other machines reach, without {' and without '.join(missing)}: "
        "set them, listen on 127.0.0.1, or say --insecure (server.insecure)"
    )
