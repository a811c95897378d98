"""The arguments of the server's transport. gRPC ignores a misspelt one in silence: what each does has a test.

Not here, since they did nothing in grpcio 1.85: ``keepalive_timeout_ms`` (``ping_timeout_ms`` is what ends a
connection), and ``max_pings_without_data`` of a server.
"""

from __future__ import annotations

from typing import Final

from affectstream.contract import LIMITS
from affectstream_server.settings import ServerSettings

KEEPALIVE_MS: Final = 10_000
PING_TIMEOUT_MS: Final = 5_000
"""A peer that stops answering is found after both, 15 s."""
MIN_PING_INTERVAL_MS: Final = 5_000
"""Clients that ping more often are sent away; ours does every 10 s."""
HANDSHAKE_MS: Final = 5_000
"""For TLS and the first words of HTTP/2."""


def channel_arguments(settings: ServerSettings) -> list[tuple[str, int]]:
    """Every argument of the server's transport."""
    return [
        ("grpc.so_reuseport", int(settings.reuse_port)),
        # Nobody is served it, and its register grows with connections that come and go: the soak is its test.
        ("grpc.enable_channelz", 0),
        ("grpc.max_allowed_incoming_connections", settings.max_connections),
        ("grpc.max_connection_idle_ms", round(settings.idle_connection_s * 1_000)),
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_MS),
        ("grpc.max_receive_message_length", LIMITS.analyze_bytes),
        # Two different limits would refuse what is between them by chance.
        ("grpc.max_metadata_size", LIMITS.metadata_bytes),
        ("grpc.absolute_max_metadata_size", LIMITS.metadata_bytes),
        # Without the probe the window stays at 64 KiB: a stream that is not read holds 2 s of audio.
        ("grpc.http2.bdp_probe", 0),
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.http2.ping_timeout_ms", PING_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
    ]
