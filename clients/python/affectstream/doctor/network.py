"""The way to a server: its name, its port, its certificate."""

from __future__ import annotations

import socket
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import Final

from affectstream.address import host_of, is_loopback
from affectstream.doctor.findings import Finding, fail, ok, warn
from affectstream.tls import Tls

TIMEOUT_S: Final = 5.0
SOON: Final = timedelta(days=14)
"""A certificate that expires within is warned about."""
_EXPIRED, _NOT_YET, _NAME, _IP_NAME = 10, 9, 62, 64
"""OpenSSL's codes of verification."""


def reach(address: str) -> Finding:
    """DNS and TCP."""
    host, port = _parts(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError):  # the second: no name at all, such as one with an empty part
        return fail(
            "reach",
            f"{host}: no such host name",
            "correct the name, or let this machine's DNS know it; inside Compose a service's name is one",
        )
    where = sorted({str(entry[4][0]) for entry in found})
    began = time.perf_counter()
    try:
        socket.create_connection((host, port), TIMEOUT_S).close()
    except TimeoutError:
        return fail("reach", f"{address}: no answer in {TIMEOUT_S:g} s", "a firewall, or a wrong address")
    except OSError as error:
        return fail(
            "reach",
            f"{address}: {(error.strerror or str(error)).lower()}",
            "start the server, or correct the port; its log says 'ready on HOST:PORT'",
        )
    took_ms = 1_000 * (time.perf_counter() - began)
    return ok("reach", f"{host} is {', '.join(where)}; TCP in {took_ms:.1f} ms")


def tls(address: str, asked: Tls | None, now: datetime | None = None) -> Finding:
    """Certificate as gRPC would look at it, or that plain text is what the server speaks."""
    if asked is None:
        return _plain(address)
    host, _ = _parts(address)
    name = asked.server_name or host
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if asked.ca_file is not None:
        context.load_verify_locations(asked.ca_file)
    else:
        context.load_default_certs()
    if asked.cert_file is not None:
        context.load_cert_chain(asked.cert_file, asked.key_file)
    try:
        certificate = _certificate(address, context, name)
    except ssl.SSLCertVerificationError as error:
        return _refused(error, name)
    except (ssl.SSLError, OSError):
        return fail(
            "tls",
            "the server does not speak TLS",
            "leave --tls, --ca and the like out, or give the server tls.cert_file and tls.key_file",
        )
    expires = datetime.fromtimestamp(ssl.cert_time_to_seconds(str(certificate["notAfter"])), UTC)
    left = expires - (now or datetime.now(UTC))
    said = f"certificate for {name} is good until {expires:%Y-%m-%d}, {left.days} days"
    if left < SOON:
        return warn("tls", said, "renew it; the server takes the new file with the next connection")
    return ok("tls", said)


def _plain(address: str) -> Finding:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # only to see whether it is TLS
    try:
        _certificate(address, context, _parts(address)[0])
    except (ssl.SSLError, OSError):
        if is_loopback(address):
            return ok("tls", "plain text, on this machine alone")
        return warn(
            "tls",
            "plain text: whoever is between hears the calls",
            "tls.cert_file and tls.key_file for the server, --ca here",
        )
    return fail("tls", "the server speaks TLS, and was spoken to in plain text", "--ca FILE, or --tls")


def _certificate(address: str, context: ssl.SSLContext, name: str) -> dict[str, object]:
    """The server's, after a handshake; empty where it was not verified. Raises `OSError`, `ssl.SSLError`."""
    context.set_alpn_protocols(["h2"])
    with (
        socket.create_connection(_parts(address), TIMEOUT_S) as link,
        context.wrap_socket(link, server_hostname=name) as secure,
    ):
        return dict(secure.getpeercert() or {})


def _refused(error: ssl.SSLCertVerificationError, name: str) -> Finding:
    match error.verify_code:
        case code if code == _EXPIRED:
            return fail(
                "tls",
                "the certificate has expired",
                "renew tls.cert_file; the server takes the new one with the next connection",
            )
        case code if code == _NOT_YET:
            return fail("tls", "the certificate is not valid yet", "set the clocks of both machines right")
        case code if code in (_NAME, _IP_NAME):
            return fail(
                "tls",
                f"the certificate is for another name than {name}",
                "call it by a name that it has, say that with --server-name, or issue one for this name",
            )
    return fail(
        "tls",
        "the certificate is of a CA that is not trusted here",
        "--ca with the CA's certificate; a chain that lacks one in the middle belongs into tls.cert_file",
    )


def _parts(address: str) -> tuple[str, int]:
    return host_of(address), int(address.rpartition(":")[2])
