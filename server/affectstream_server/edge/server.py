"""The gRPC server: its socket, health and reflection."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import grpc
from grpc_health.v1.health_pb2 import HealthCheckResponse
from grpc_reflection.v1alpha import reflection

from affectstream_server import certificates
from affectstream_server.auth.authenticator import Authenticator
from affectstream_server.cannot_listen import CannotListen
from affectstream_server.edge import health
from affectstream_server.edge.accepting import Accepting
from affectstream_server.edge.admission import Admission
from affectstream_server.edge.arguments import channel_arguments
from affectstream_server.edge.authentication import Authentication
from affectstream_server.edge.observing import Observing
from affectstream_server.edge.service import SERVICE_NAME, AffectService
from affectstream_server.edge.tls import server_credentials
from affectstream_server.pipeline import Pipeline
from affectstream_server.settings import Settings

if TYPE_CHECKING:
    from affectstream_server.telemetry.calls import Calls

LIVENESS: Final = "liveness"
"""Health service name that serves as long as the process does; "" and the service's name are readiness."""

_READINESS: Final = ("", SERVICE_NAME)


class GrpcServer:
    """A bound server that is not ready until it is told so."""

    def __init__(
        self,
        settings: Settings,
        pipeline: Pipeline,
        calls: Calls | None = None,
        service: AffectService | None = None,
    ) -> None:
        """Bind the socket; ``calls`` is told of every call, ``service`` answers them.

        Raises `CannotListen`, or `SettingsError` for certificates and tokens.
        """
        self._authenticator = Authenticator(settings.auth)
        certificate = certificates.watched(settings.tls) if settings.tls.cert_file else None
        self._admission = Admission(settings)
        interceptors: list[grpc.aio.ServerInterceptor] = [
            Authentication(self._authenticator),
            self._admission,
        ]
        if calls is not None:  # first, so that it sees who is refused
            interceptors.insert(0, Observing(calls))
        self._health = health.Health()
        ours = service or AffectService(pipeline)

        def make() -> grpc.aio.Server:
            server = grpc.aio.server(options=channel_arguments(settings.server), interceptors=interceptors)
            server.add_generic_rpc_handlers((ours.handler(), self._health.handler()))
            names = (SERVICE_NAME, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, server)
            return server

        def bind(server: grpc.aio.Server, address: str) -> int:
            if certificate is None:
                return server.add_insecure_port(address)
            credentials = server_credentials(certificate, settings.tls)  # gRPC takes them for one server only
            return server.add_secure_port(address, credentials)

        address = settings.server.address
        host, _, port = address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise CannotListen(f"server.address: got {address!r}, expected HOST:PORT such as 127.0.0.1:50551")
        try:
            self._accepting = Accepting(make, bind, address, settings.server.stream_age_s)
        except RuntimeError:
            raise CannotListen(
                f"server.address: cannot listen on {address}; is the port taken? Port 0 is any"
            ) from None
        self.address = self._accepting.address
        """Where it listens, with the port it got."""

    async def start(self) -> None:
        """Accept connections; health says NOT_SERVING until `set_ready`."""
        self.set_ready(ready=False)
        self._health.say(LIVENESS, HealthCheckResponse.SERVING)
        await self._accepting.start()

    def set_ready(self, *, ready: bool) -> None:
        """Say whether streams may be opened."""
        for name in _READINESS:
            self._health.say(name, HealthCheckResponse.SERVING if ready else HealthCheckResponse.NOT_SERVING)

    async def stop(self, grace_s: float) -> None:
        """Close the listener, give open calls ``grace_s``, then end them."""
        await self._accepting.stop(grace_s)
        await self._authenticator.close()
