"""Who the client trusts, and what it shows of itself."""

from __future__ import annotations

import ssl
from dataclasses import dataclass
from pathlib import Path

import grpc


@dataclass(frozen=True, slots=True, kw_only=True)
class Tls:
    """TLS to a server. With nothing given, one whose certificate a CA of this system signed.

    The files are PEM. They are read when the client connects.
    """

    ca_file: str | Path | None = None
    """Certificates of the CA that signed the server's; None: those of this system."""
    cert_file: str | Path | None = None
    """The client's own certificate and chain, for a server that asks for one (mTLS)."""
    key_file: str | Path | None = None
    """Its private key, without a passphrase."""
    server_name: str | None = None
    """The name that the server's certificate must have; None: the one in the address."""

    def __post_init__(self) -> None:
        if (self.cert_file is None) != (self.key_file is None):
            missing, given = ("key_file", "cert_file") if self.cert_file else ("cert_file", "key_file")
            raise ValueError(f"Tls.{missing} is missing: {given} is given")

    def credentials(self) -> grpc.ChannelCredentials:
        """What gRPC connects with.

        Raises:
            ValueError: a file cannot be read or used; the message names the field and the file.
        """
        ca = _read("ca_file", self.ca_file) or _system_ca()
        certificate, key = _read("cert_file", self.cert_file), _read("key_file", self.key_file)
        # gRPC itself would only say, at the first call, that it cannot make a handshaker.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self.ca_file is not None:
            try:
                context.load_verify_locations(self.ca_file)
            except ssl.SSLError:
                raise ValueError(f"Tls.ca_file: {self.ca_file}: holds no certificate in PEM") from None
        if self.cert_file is not None and self.key_file is not None:
            try:
                context.load_cert_chain(self.cert_file, self.key_file, password=_no_password)
            except ssl.SSLError:
                raise ValueError(
                    f"Tls.cert_file, Tls.key_file: {self.cert_file} and {self.key_file} are not a "
                    "certificate and its private key in PEM, without a passphrase"
                ) from None
        return grpc.ssl_channel_credentials(ca, key, certificate)

    @property
    def options(self) -> tuple[tuple[str, int | str], ...]:
        """gRPC channel arguments that go with the credentials."""
        return () if self.server_name is None else (("grpc.ssl_target_name_override", self.server_name),)


def _read(field: str, file: str | Path | None) -> bytes | None:
    if file is None:
        return None
    try:
        return Path(file).read_bytes()
    except OSError as error:
        raise ValueError(f"Tls.{field}: {file}: cannot be read: {error.strerror}") from None


def _system_ca() -> bytes | None:
    """The CAs that Python finds on this system; None: those that gRPC brings."""
    file = ssl.get_default_verify_paths().cafile
    return Path(file).read_bytes() if file else None


def _no_password() -> bytes:
    """In its place OpenSSL would ask at the terminal."""
    return b""
