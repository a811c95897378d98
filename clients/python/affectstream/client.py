"""The client of an Affectstream server.

async with AffectClient("127.0.0.1:50051") as client:
    async with client.stream(StreamConfig(audio=AudioFormat(sample_rate_hz=16_000))) as stream:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(microphone_to(stream))  # await stream.send(pcm) ...; await stream.end()
            async for event in stream:
                if isinstance(event, AffectEvent) and event.is_final:
                    print(event.audio_start, event.top_label, event.dimensions.arousal)
"""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self

import grpc

from affectstream import errors, status
from affectstream.channel import ChannelOptions, open_channel
from affectstream.config import StreamConfig
from affectstream.info import ServerInfo
from affectstream.stream import AffectStream
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub


class AffectClient:
    """One connection to a server, as an asynchronous context manager; any number of streams share it.

    Args:
        target: ``"host:port"``, or any other name that gRPC resolves.
        timeouts: How long to wait for what.
        metadata: Sent with every call, such as ``(("authorization", "Bearer ..."),)``.
        credentials: For TLS, from `grpc.ssl_channel_credentials`; None: plain text.
        options: gRPC channel arguments that win over the client's own.
    """

    def __init__(
        self,
        target: str,
        *,
        timeouts: Timeouts | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
    ) -> None:
        self.target = target
        self.timeouts = timeouts or Timeouts()
        self._metadata = tuple(metadata)
        self._credentials = credentials
        self._options = options
        self._channel: grpc.aio.Channel | None = None

    async def __aenter__(self) -> Self:
        if self._channel is not None:
            raise RuntimeError("the client is open already")
        self._channel = open_channel(self.target, self._credentials, self._options)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        channel, self._channel = self._channel, None
        if channel is not None:
            await channel.close()

    def stream(self, config: StreamConfig | None = None) -> AffectStream:
        """A stream, to be entered with `async with`.

        Args:
            config: What is asked for; None: 16 kHz mono LINEAR16 and the server's defaults.
        """
        return AffectStream(
            self._open_channel, self.target, config or StreamConfig(), self.timeouts, self._metadata
        )

    async def server_info(self) -> ServerInfo:
        """What the server is: models, labels in order, accepted audio, every limit, defaults, features.

        Raises:
            ConnectError: nobody answers at the address.
            TimedOut: no answer within `Timeouts.call_s`.
            AffectStreamError: the server refused or failed.
        """
        stub = AffectServiceStub(self._open_channel)
        try:
            response = await stub.GetServerInfo(
                pb.GetServerInfoRequest(),
                timeout=finite(self.timeouts.call_s),
                metadata=grpc.aio.Metadata(*self._metadata),
            )
        except grpc.aio.AioRpcError as raised:
            raise self._unary_error(raised) from None
        return ServerInfo.from_proto(response)

    @property
    def _open_channel(self) -> grpc.aio.Channel:
        if self._channel is None:
            raise RuntimeError("the client is not open: use `async with`")
        return self._channel

    def _unary_error(self, raised: grpc.aio.AioRpcError) -> errors.AffectStreamError:
        error = status.from_rpc_error(raised)
        connected = self._open_channel.get_state() is grpc.ChannelConnectivity.READY
        if (
            not connected
            and not error.reason
            and isinstance(error, errors.ServerUnavailable | errors.TimedOut)
        ):
            return status.connect_error(self.target, raised.details() or "")
        return error
