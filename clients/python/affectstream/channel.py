"""How a client connects. One function builds the arguments, since gRPC ignores misspelt ones silently."""

from __future__ import annotations

from typing import Final

import grpc

KEEPALIVE_MS: Final = 10_000
PING_TIMEOUT_MS: Final = 5_000
RECEIVE_MESSAGE_BYTES: Final = 4 * 1024 * 1024

ChannelOptions = tuple[tuple[str, int | str], ...]


def channel_options(overrides: ChannelOptions = ()) -> ChannelOptions:
    """gRPC channel arguments of a client.

    A peer that stops answering without closing (a frozen process, a lost network) is found
    after `KEEPALIVE_MS` + `PING_TIMEOUT_MS`, 15 s; `keepalive_timeout_ms` would change nothing of it.

    Args:
        overrides: Arguments that win over these, or come in addition.
    """
    options: dict[str, int | str] = {
        "grpc.keepalive_time_ms": KEEPALIVE_MS,
        "grpc.http2.ping_timeout_ms": PING_TIMEOUT_MS,
        "grpc.keepalive_permit_without_calls": 0,
        # 0: no limit. The default stops pinging after two pings without data, as in a long silence.
        "grpc.http2.max_pings_without_data": 0,
        "grpc.max_receive_message_length": RECEIVE_MESSAGE_BYTES,
        # A channel of its own: one that takes the place of a broken one must not get its connection back.
        "grpc.use_local_subchannel_pool": 1,
    }
    options.update(overrides)
    return tuple(options.items())


def open_channel(
    target: str, credentials: grpc.ChannelCredentials | None, overrides: ChannelOptions = ()
) -> grpc.aio.Channel:
    """A channel to `target`; it connects with the first call. Must be made inside the event loop.

    Args:
        target: ``"host:port"``, or any other name that gRPC resolves.
        credentials: None: plain text.
        overrides: See `channel_options`.
    """
    options = channel_options(overrides)
    if credentials is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, credentials, options=options)
