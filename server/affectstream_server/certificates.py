"""The server's certificate: read, tried and renewed. Knows nothing of gRPC."""

from __future__ import annotations

import logging
import ssl
from dataclasses import dataclass, field
from typing import Final

from affectstream_server.reload import Reloaded, read_bytes
from affectstream_server.section import SettingsError
from affectstream_server.settings_access import TlsSettings

_log = logging.getLogger(__name__)

_PEM_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Certificate:
    """PEM, tried out."""

    chain: bytes
    key: bytes = field(repr=False)
    client_ca: bytes | None


def watched(settings: TlsSettings) -> Reloaded[Certificate]:
    """The certificate that the settings name. Raises `SettingsError`, which names key, file and cause."""
    files = [file for file in (settings.cert_file, settings.key_file, settings.client_ca_file) if file]
    return Reloaded("tls", files, lambda: read(settings))


def read(settings: TlsSettings) -> Certificate:
    """Read and try the files. Raises `SettingsError`."""
    chain = read_bytes("tls.cert_file", settings.cert_file, _PEM_BYTES)
    key = read_bytes("tls.key_file", settings.key_file, _PEM_BYTES)
    if b"ENCRYPTED" in key:
        raise SettingsError(
            f"tls.key_file: {settings.key_file}: has a passphrase; write it without one: "
            "openssl pkey -in FILE -out NEW_FILE"
        )
    _try_pair(settings, chain)
    client_ca = None
    if settings.client_ca_file:
        client_ca = read_bytes("tls.client_ca_file", settings.client_ca_file, _PEM_BYTES)
        _authority("tls.client_ca_file", settings.client_ca_file, client_ca)
    return Certificate(chain, key, client_ca)


def _try_pair(settings: TlsSettings, chain: bytes) -> None:
    """Load the pair as a server would, and shake hands with ourselves: OpenSSL says what is wrong."""
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    client = _authority("tls.cert_file", settings.cert_file, chain)
    client.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN  # the certificate is its own anchor here
    try:
        server.load_cert_chain(settings.cert_file, settings.key_file, password=_no_password)
    except (ssl.SSLError, OSError) as error:
        raise SettingsError(f"tls.key_file: {settings.key_file}: {_cause(error)}") from None
    try:
        _shake_hands(server, client)
    except ssl.SSLError as error:
        raise SettingsError(f"tls.cert_file: {settings.cert_file}: {_cause(error)}") from None


def _authority(key: str, file: str, pem: bytes) -> ssl.SSLContext:
    """A client that trusts these certificates and asks for no name. Raises `SettingsError`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (ssl.SSLError, ValueError):
        raise SettingsError(f"{key}: {file}: holds no certificate in PEM") from None
    return context


def _shake_hands(server: ssl.SSLContext, client: ssl.SSLContext) -> None:
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = [
        client.wrap_bio(to_client, to_server, server_side=False),
        server.wrap_bio(to_server, to_client, server_side=True),
    ]
    while ends:
        for end in tuple(ends):
            try:
                end.do_handshake()
                ends.remove(end)
            except ssl.SSLWantReadError:
                continue


def _cause(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return str(error.verify_message)
    if isinstance(error, ssl.SSLError) and error.reason == "KEY_VALUES_MISMATCH":
        return "is not the key of tls.cert_file"
    return "holds no private key in PEM"


def _no_password() -> bytes:
    """In its place OpenSSL would ask at the terminal."""
    return b""
