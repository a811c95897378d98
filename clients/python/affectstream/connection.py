"""What the calls of a client go over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from typing import Final

import grpc


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
        self._calls: Counter[grpc.aio.Channel] = Counter()

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

    def carry(self, channel: grpc.aio.Channel, call: grpc.aio.Call) -> None:
        """`call` is on `channel`, which is not closed before its end unless the client is."""
        self._calls[channel] += 1
        call.add_done_callback(lambda _: self._ended(channel))

    def _ended(self, channel: grpc.aio.Channel) -> None:
        self._calls[channel] -= 1
        if not self._calls[channel]:
            del self._calls[channel]

    async def renew(self, failed: grpc.aio.Channel, *, doubtful: bool) -> None:
        """Put a new channel in place of one whose call failed, unless it is fit for another call.

        Args:
            failed: Nothing happens if it was replaced already.
            doubtful: Replace it also where it seems to work. Others' calls on it go on.
        """
        if self._channel is not failed:
            return
        broken = failed.get_state() is grpc.ChannelConnectivity.TRANSIENT_FAILURE
        if not broken and not doubtful:
            return
        self.open()
        self._replaced.append(failed)
        ended = [channel for channel in self._replaced if not self._calls[channel]]
        self._replaced = [channel for channel in self._replaced if channel not in ended]
        for channel in ended:
            await channel.close()

    async def close(self) -> None:
        """End every call and connection."""
        channel, self._channel = self._channel, None
        for each in (channel, *self._replaced):
            if each is not None:
                await each.close()
        self._replaced.clear()
