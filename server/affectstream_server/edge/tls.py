"""Certificates as gRPC's credentials."""

from __future__ import annotations

import grpc

from affectstream_server.certificates import Certificate
from affectstream_server.reload import Reloaded
from affectstream_server.settings_access import TlsSettings


def server_credentials(watched: Reloaded[Certificate], settings: TlsSettings) -> grpc.ServerCredentials:
    """Credentials of one server that look at their files before every handshake."""

    def renewed() -> grpc.ServerCertificateConfiguration:
        if not watched.renew():
            return None  # type: ignore[return-value] # "no change"; the stubs forget it
        return _configuration(watched.value)

    return grpc.dynamic_ssl_server_credentials(
        _configuration(watched.value), renewed, require_client_authentication=bool(settings.client_ca_file)
    )


def _configuration(certificate: Certificate) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration(
        [(certificate.key, certificate.chain)], root_certificates=certificate.client_ca
    )
