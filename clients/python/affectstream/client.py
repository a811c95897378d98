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
from typing import TYPE_CHECKING, Self

import grpc

from affectstream import errors, status
from affectstream.channel import ChannelOptions, open_channel
from affectstream.config import AudioFormat, StreamConfig
from affectstream.contract import LIMITS
from affectstream.decode import decode
from affectstream.enums import ConsentBasis, SubjectRole
from affectstream.events import AffectEvent
from affectstream.info import ServerInfo
from affectstream.pcm import to_bytes
from affectstream.stream import AffectStream
from affectstream.timeouts import Timeouts, finite
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub

if TYPE_CHECKING:
    from affectstream.pcm import Pcm


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

    async def analyze(
        self,
        pcm: Pcm,
        audio: AudioFormat | None = None,
        *,
        channel: int | None = None,
        embedding: bool = False,
        language_code: str = "",
        consent_basis: ConsentBasis | int = 0,
        subject_role: SubjectRole | int = 0,
        model: str = "",
        utterance_id: str = "",
        timeout_s: float | None = None,
    ) -> AffectEvent:
        """How one whole utterance was said: its bounds are those of `pcm`, at most 30 s and 10 MiB.

        Args:
            pcm: Whole frames in the encoding of `audio`, or an array as `AffectStream.send` takes it.
            audio: What the bytes are; None: 16 kHz mono LINEAR16.
            channel: The channel to analyse; needed with more than one.
            embedding: Give the model's embedding too.
            language_code: BCP 47 tag of the language spoken, a hint.
            consent_basis: A server can be set to require one.
            subject_role: Employees and students are refused by default.
            model: Name of a model that `server_info` lists; empty: the server's choice.
            utterance_id: The caller's own, up to 64 bytes; empty: the server makes one.
            timeout_s: Limit for the whole call, in seconds; None: `Timeouts.call_s`.

        Returns:
            The final event. What belongs to a session is empty: `session_id`, `sequence`, `change`.

        Raises:
            InvalidRequest: not whole frames, too long, too large, or refused by the server.
            ConnectError: nobody answers at the address.
            TimedOut: no answer in time.
            AffectStreamError: the server refused or failed.
        """
        audio = audio or AudioFormat()
        request = pb.AnalyzeUtteranceRequest(
            audio=audio.to_proto(),
            data=to_bytes(pcm, audio),
            channel=channel,
            outputs=pb.OutputConfig(embedding=embedding),
            language_code=language_code,
            consent_basis=pb.ConsentBasis.ValueType(consent_basis),
            subject_role=pb.SubjectRole.ValueType(subject_role),
            model=model,
            utterance_id=utterance_id,
        )
        if (size := request.ByteSize()) > LIMITS.analyze_bytes:
            raise errors.InvalidRequest(
                f"data: the request holds {size} bytes, the limit is {LIMITS.analyze_bytes}",
                reason="MESSAGE_TOO_LARGE",
                field="data",
                value=f"{size} bytes",
                limit=f"{LIMITS.analyze_bytes} bytes",
            )
        stub = AffectServiceStub(self._open_channel)
        try:
            response = await stub.AnalyzeUtterance(
                request,
                timeout=finite(self.timeouts.call_s if timeout_s is None else timeout_s),
                metadata=grpc.aio.Metadata(*self._metadata),
            )
        except grpc.aio.AioRpcError as raised:
            raise self._unary_error(raised) from None
        event = decode(pb.SessionEvent(affect=response.event))
        if not isinstance(event, AffectEvent):
            raise errors.ProtocolError("the server answered without an event")
        return event

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
