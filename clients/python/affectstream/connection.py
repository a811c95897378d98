"""What the calls of a client go over."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

import grpc

MOST_REPLACED: Final = 8
"""Channels that are kept for the calls on them, as long as they are connected."""


class Connection:
    """The channel that a client's calls share, and another in its place when it is broken.

    gRPC itself waits longer and longer between its attempts to connect, up to two minutes, and calls fail
    at once meanwhile; a new channel tries when it is asked to, and looks the name up again.

    Args:
        target: Its address, for errors.
        make: A channel that is not connected yet, called inside the event loop.
        metadata: What goes with a call, anew for each.
    """

    def __init__(
        self,
        target: str,
        make: Callable[[], grpc.aio.Channel],
        metadata: Callable[[], Awaitable[grpc.aio.Metadata]],
    ) -> None:
        self.target: Final = target
        self.metadata: Final = metadata
        self._make = make
        self._channel: grpc.aio.Channel | None = None
        self._replaced: list[grpc.aio.Channel] = []

    @property
    def is_open(self) -> bool:
        """Between `open` and `close`."""
        return self._channel is not None

    @property
    def channel(self) -> grpc.aio.Channel:
        """For the next call. Raises `RuntimeError` unless `is_open`."""
        if self._channel is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._channel

    def open(self) -> None:
        """Make the channel. Must be called inside the event loop."""
        self._channel = self._make()

    async def renew(self, failed: grpc.aio.Channel, *, doubtful: bool) -> None:
        """Put a new channel in place of one whose call failed, unless it is fit for another call.

        Args:
            failed: Nothing happens if it was replaced already.
            doubtful: Replace it also where it seems to work. Others' calls on it may go on.
        """
        if self._channel is not failed:
            return
        ready = grpc.ChannelConnectivity.READY
        broken = failed.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        if not broken and not doubtful:
            return
        self.open()
        self._replaced.append(failed)
        kept = [channel for channel in self._replaced if channel.get_state() is ready][-MOST_REPLACED:]
        ended = [channel for channel in self._replaced if channel not in kept]
        self._replaced = kept
        for channel in ended:
            await channel.close()

    async def close(self) -> None:
        """End every call and connection."""
        channel, self._channel = self._channel, None
        for each in (channel, *self._replaced):
            if each is not None:
                await each.close()
        self._replaced.clear()
