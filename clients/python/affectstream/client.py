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

import asyncio
import random
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypeVar

import grpc
from google.protobuf.message import Message

from affectstream import errors, status, tracing
from affectstream.address import is_loopback
from affectstream.cancelling import cancellable
from affectstream.channel import ChannelOptions, open_channel
from affectstream.config import AudioFormat, StreamConfig
from affectstream.connection import Connection
from affectstream.contract import LIMITS
from affectstream.decode import decode
from affectstream.dialer import Dialer
from affectstream.enums import ConsentBasis, SubjectRole, WatchStart
from affectstream.events import AffectEvent
from affectstream.info import ServerInfo
from affectstream.keeper import Keeper
from affectstream.line import Line
from affectstream.link import Link
from affectstream.pcm import to_bytes
from affectstream.reconnect import Reconnect
from affectstream.stream import AffectStream
from affectstream.timeouts import Timeouts, finite
from affectstream.tls import Tls
from affectstream.token import Token, TokenSource
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1.affect_pb2_grpc import AffectServiceStub
from affectstream.watch import AffectWatch

if TYPE_CHECKING:
    from affectstream.pcm import Pcm

T = TypeVar("T")
_AGAIN: Final = Reconnect()


class AffectClient:
    """One connection to a server, as an asynchronous context manager; any number of streams share it.

    Args:
        target: ``"host:port"``, or any other name that gRPC resolves.
        timeouts: How long to wait for what.
        tls: How to connect by TLS; True: to a server whose certificate a CA of this system signed;
            False: in plain text.
        token: Shown with every call, or a function that gives the one of now, which may be a coroutine.
        metadata: Sent with every call, beside the token.
        credentials: For TLS, from `grpc.ssl_channel_credentials`, in place of `tls`.
        options: gRPC channel arguments that win over the client's own.
        allow_plain_token: Show the token in plain text to another machine: whoever is between can take it.

    Raises:
        ValueError: arguments that exclude each other; or the token would leave this machine in plain text.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: Tls | bool = False,
        token: TokenSource | None = None,
        timeouts: Timeouts | None = None,
        metadata: Iterable[tuple[str, str | bytes]] = (),
        credentials: grpc.ChannelCredentials | None = None,
        options: ChannelOptions = (),
        allow_plain_token: bool = False,
    ) -> None:
        if tls and credentials is not None:
            raise ValueError("give either tls or credentials")
        plain = not tls and credentials is None
        if token is not None and plain and not allow_plain_token and not is_loopback(target):
            raise ValueError(f"the token would go to {target} in plain text: use tls")
        self.target = target
        """As it was given."""
        self.timeouts = timeouts or Timeouts()
        """Those in force."""
        self._metadata = tuple(metadata)
        if token is not None and any(key == "authorization" for key, _ in self._metadata):
            raise ValueError("give either token or metadata with authorization")
        self._token = None if token is None else Token(token)
        self._tls = Tls() if tls is True else tls or None
        self._credentials = credentials
        self._options = options
        self._connection = Connection(target, self._open_channel, self._call_metadata)

    async def __aenter__(self) -> Self:
        if self._connection.is_open:
            raise RuntimeError("the client is open already")
        self._connection.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._connection.close()

    def stream(
        self, config: StreamConfig | None = None, *, reconnect: Reconnect | None = None
    ) -> AffectStream:
        """A stream, to be entered with `async with`.

        Args:
            config: What is asked for; None: 16 kHz mono LINEAR16 and the server's defaults.
            reconnect: Go on with the session when its call is lost, as this says; None: the stream ends
                with its call.

        Raises:
            ValueError: `reconnect` with compressed audio, or with too long an interval of progress events.
        """
        config = config or StreamConfig()
        line: Line
        if reconnect is None:
            line = Link(self._connection, config.to_proto(), config, self.timeouts)
        else:
            dialer = Dialer(self._connection, config, self.timeouts, reconnect, chance=random.random)
            line = Keeper(dialer, config.audio, reconnect)
        return AffectStream(line, config.audio, self.timeouts, self.target)

    def watch(
        self,
        session_id: str | None = None,
        *,
        start: WatchStart = WatchStart.LATEST,
        after: bytes | None = None,
        reconnect: Reconnect | None = _AGAIN,
        wait_s: float = 0.0,
    ) -> AffectWatch:
        """The events of a session that others stream, from any replica; to be entered with `async with`.

        Args:
            session_id: Whose; None: of every session of the caller's tenant.
            start: Where to begin.
            after: Cursor of the last event seen, in place of `start`.
            reconnect: When to try again where the call is lost, by its delays and limits; None: never.
            wait_s: How long to wait for a session that has not begun, in seconds.
        """
        return AffectWatch(
            self._connection,
            session_id,
            self.timeouts,
            start=start,
            after=after,
            reconnect=reconnect,
            wait_s=wait_s,
        )

    async def purge(self, session_id: str) -> int:
        """Remove what a server retains of a session for watchers. Returns how many events it was.

        Raises:
            NotFound: no such session, or nothing of it is retained.
            AffectStreamError: the server refused or failed.
        """
        response: pb.PurgeSessionResponse = await self._answer(
            lambda stub: stub.PurgeSession,
            pb.PurgeSessionRequest(session_id=session_id),
            await self._call_metadata(),
            self.timeouts.call_s,
        )
        return response.events

    async def server_info(self) -> ServerInfo:
        """What the server is: models, labels in order, accepted audio, every limit, defaults, features.

        Raises:
            ConnectError: nobody answers at the address.
            TimedOut: no answer within `Timeouts.call_s`.
            AffectStreamError: the server refused or failed.
        """
        response = await self._answer(
            lambda stub: stub.GetServerInfo,
            pb.GetServerInfoRequest(),
            await self._call_metadata(),
            self.timeouts.call_s,
        )
        return ServerInfo.from_proto(response)

    async def analyze(
        self,
        pcm: Pcm,
        audio: AudioFormat | None = None,
        *,
        channel: int | None = None,
        embedding: bool = False,
        cues: bool = False,
        saliency: bool = False,
        language_code: str = "",
        consent_basis: ConsentBasis | int = 0,
        subject_role: SubjectRole | int = 0,
        model: str = "",
        utterance_id: str = "",
        timeout_s: float | None = None,
        traceparent: str = "",
    ) -> AffectEvent:
        """How one whole utterance was said: its bounds are those of `pcm`, at most 30 s and 10 MiB.

        Args:
            pcm: Whole frames in the encoding of `audio`, or an array as `AffectStream.send` takes it.
            audio: What the bytes are; None: 16 kHz mono LINEAR16.
            channel: The channel to analyse; needed with more than one.
            embedding: Give the model's embedding too.
            cues: Give acoustic cues too.
            saliency: Give the spans too on which the score rests.
            language_code: BCP 47 tag of the language spoken, a hint.
            consent_basis: A server can be set to require one.
            subject_role: Employees and students are refused by default.
            model: Name of a model that `server_info` lists; empty: the server's choice.
            utterance_id: The caller's own, up to 64 bytes; empty: the server makes one.
            timeout_s: Limit for the whole call, in seconds; None: `Timeouts.call_s`.
            traceparent: As in `StreamConfig`.

        Returns:
            The final event. What belongs to a session is empty: `session_id`, `sequence`, `change`.

        Raises:
            InvalidRequest: not whole frames, too long, too large, or refused by the server.
            ConnectError: nobody answers at the address.
            TimedOut: no answer in time.
            AffectStreamError: the server refused or failed.
        """
        tracing.check(traceparent)
        audio = audio or AudioFormat()
        request = pb.AnalyzeUtteranceRequest(
            audio=audio.to_proto(),
            data=to_bytes(pcm, audio),
            channel=channel,
            outputs=pb.OutputConfig(embedding=embedding, cues=cues, saliency=saliency),
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
        response = await self._answer(
            lambda stub: stub.AnalyzeUtterance,
            request,
            tracing.added(await self._call_metadata(), traceparent),
            self.timeouts.call_s if timeout_s is None else timeout_s,
        )
        event = decode(pb.SessionEvent(affect=response.event))
        if not isinstance(event, AffectEvent):
            raise errors.ProtocolError("the server answered without an event")
        return event

    async def _answer(
        self,
        method: Callable[[Any], Callable[..., grpc.aio.UnaryUnaryCall[Any, T]]],
        request: Message,
        metadata: grpc.aio.Metadata,
        limit_s: float,
    ) -> T:
        """Of one unary call."""
        channel = self._connection.channel
        call = method(AffectServiceStub(channel))(request, timeout=finite(limit_s), metadata=metadata)
        self._connection.carry(channel, call)
        try:
            with cancellable():
                return await call
        except grpc.aio.AioRpcError as raised:
            raise self._unary_error(raised) from None

    def _open_channel(self) -> grpc.aio.Channel:
        credentials, options = self._credentials, self._options
        if self._tls is not None:
            credentials, options = self._tls.credentials(), (*self._tls.options, *options)
        return open_channel(self.target, credentials, options)

    async def _call_metadata(self) -> grpc.aio.Metadata:
        """What goes with one call.

        Raises:
            TimedOut: the token's function gave none within `Timeouts.connect_s`.
        """
        if self._token is None:
            return grpc.aio.Metadata(*self._metadata)
        try:
            async with asyncio.timeout(finite(self.timeouts.connect_s)):
                return grpc.aio.Metadata(*self._metadata, *await self._token.metadata())
        except TimeoutError:
            raise errors.TimedOut(f"no token within {self.timeouts.connect_s:g} s") from None

    def _unary_error(self, raised: grpc.aio.AioRpcError) -> errors.AffectStreamError:
        error = status.from_rpc_error(raised)
        connected = self._connection.channel.get_state() is grpc.ChannelConnectivity.READY
        if (
            not connected
            and not error.reason
            and isinstance(error, errors.ServerUnavailable | errors.TimedOut)
        ):
            return status.connect_error(self.target, raised.details() or "")
        return error
