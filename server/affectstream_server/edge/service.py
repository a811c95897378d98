"""AffectService over grpc.aio: calls become sessions, errors become statuses."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.edge.caller import CALLER
from affectstream_server.edge.codec import bounded
from affectstream_server.edge.status import abort
from affectstream_server.errors import InternalFault, InvalidRequest, ServiceError
from affectstream_server.flag import Flag
from affectstream_server.info import server_info
from affectstream_server.pipeline import Pipeline
from affectstream_server.stream import Stream

_log = logging.getLogger(__name__)

SERVICE_NAME: Final = "affectstream.v1.AffectService"
_CURSOR_KEY: Final = "affectstream-cursor-bin"
"""Initial metadata of a watch: where it begins, for who is cut off before the first event."""
_HALF_CLOSE_GRACE_S: Final = 5.0
"""How long a client that sent end_of_audio may leave its side open after its last event."""
CONFIG_DEADLINE_S: Final = 10.0
"""How long a call may be open without a config."""

Context = grpc.aio.ServicerContext[Any, Any]
Requests = AsyncIterator[pb.StreamAffectRequest | ServiceError]


class AffectService:
    """The RPCs. One session a stream; one writer a stream."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def get_server_info(
        self, request: pb.GetServerInfoRequest | ServiceError, context: Context
    ) -> pb.GetServerInfoResponse:
        if isinstance(request, ServiceError):
            await abort(context, request)
        quota = self._pipeline.quotas.tenant(CALLER.get().tenant).quota
        router = self._pipeline.router
        taught = router.user_outputs.of(router.answering)
        return server_info(self._pipeline.settings, router.models, quota, taught)

    async def stream_affect(self, requests: Requests, context: Context) -> None:
        if (failure := await self.serve_stream(requests, context)) is not None:
            await abort(context, failure)

    async def serve_stream(self, requests: Requests, context: Context) -> ServiceError | None:
        """All but the last word, which may wait for its reader for ever. Returns the error that it is."""
        try:
            stream = self._pipeline.open_stream(CALLER.get())
        except ServiceError as error:
            await first_message(requests)
            return error
        try:
            await _converse(stream, requests, context)
        except grpc.aio.BaseError as error:
            _gone(error)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("session %s failed", stream.session.told_id if stream.session else "unborn")
            stream.fail(InternalFault())
        finally:
            self._close(stream)
        return stream.failure

    def _close(self, stream: Stream) -> None:
        try:
            self._pipeline.close_stream(stream)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception(
                "session %s could not be closed", stream.session.told_id if stream.session else "unborn"
            )
            stream.fail(InternalFault())

    async def analyze_utterance(
        self, request: pb.AnalyzeUtteranceRequest | ServiceError, context: Context
    ) -> pb.AnalyzeUtteranceResponse:
        if isinstance(request, ServiceError):
            await abort(context, request)
        try:
            return await self._pipeline.analyzer.analyze(request, context.time_remaining(), CALLER.get())
        except ServiceError as error:
            return await abort(context, error)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("an analysis failed")
            return await abort(context, InternalFault())

    async def watch_affect(self, request: pb.WatchAffectRequest | ServiceError, context: Context) -> None:
        if isinstance(request, ServiceError):
            await abort(context, request)
        if (failure := await self.serve_watch(request, context)) is not None:
            await abort(context, failure)

    async def serve_watch(self, request: pb.WatchAffectRequest, context: Context) -> ServiceError | None:
        """As `serve_stream`."""
        watching = self._pipeline.watching
        try:
            watcher = await watching.open(request, CALLER.get())
            try:
                await context.send_initial_metadata(((_CURSOR_KEY, watcher.cursor),))
                await watcher.write_all(context.write)
            finally:
                watching.close(watcher)
        except ServiceError as error:
            return error
        except grpc.aio.BaseError as error:
            _gone(error)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("a watch failed")
            return InternalFault()
        return None

    async def purge_session(
        self, request: pb.PurgeSessionRequest | ServiceError, context: Context
    ) -> pb.PurgeSessionResponse:
        if isinstance(request, ServiceError):
            await abort(context, request)
        try:
            return await self._pipeline.watching.purge(request, CALLER.get())
        except ServiceError as error:
            return await abort(context, error)
        except Exception:  # noqa: BLE001 - its text must not reach the client
            _log.exception("a purge failed")
            return await abort(context, InternalFault())

    def handler(self) -> grpc.GenericRpcHandler:
        """The handlers, with deserialisers that answer bad bytes with an error of ours."""
        stream_request = bounded(pb.StreamAffectRequest.FromString, LIMITS.message_bytes)
        info_request = bounded(pb.GetServerInfoRequest.FromString, LIMITS.message_bytes)
        analyze_request = bounded(pb.AnalyzeUtteranceRequest.FromString, LIMITS.analyze_bytes)
        watch_request = bounded(pb.WatchAffectRequest.FromString, LIMITS.message_bytes)
        purge_request = bounded(pb.PurgeSessionRequest.FromString, LIMITS.message_bytes)
        return grpc.method_handlers_generic_handler(
            SERVICE_NAME,
            {
                "GetServerInfo": one_message(
                    self.get_server_info, info_request, pb.GetServerInfoResponse.SerializeToString
                ),
                "StreamAffect": grpc.stream_stream_rpc_method_handler(
                    self.stream_affect,
                    stream_request,
                    None,  # the session writes its events as bytes
                ),
                "AnalyzeUtterance": one_message(
                    self.analyze_utterance, analyze_request, pb.AnalyzeUtteranceResponse.SerializeToString
                ),
                "WatchAffect": one_message(
                    self.watch_affect, watch_request, None
                ),  # what is retained is bytes
                "PurgeSession": one_message(
                    self.purge_session, purge_request, pb.PurgeSessionResponse.SerializeToString
                ),
            },
        )


def _gone(error: grpc.aio.BaseError) -> None:
    """The call was over before it was answered: nobody hears of an error any more."""
    _log.info("a call was gone while it was answered: %s", type(error).__name__)


async def _converse(stream: Stream, requests: Requests, context: Context) -> None:
    """Read until the stream ends, while one task writes."""
    # With the first event instead, an abort while that event waits for a slow reader would send them twice.
    await context.send_initial_metadata(())
    writer = asyncio.get_running_loop().create_task(stream.write_all(context.write))
    try:
        await _listen(stream, requests, writer)
        if stream.failure is None and not stream.finished:
            return  # abandoned
        if stream.failure is None:
            await _until_written_or_failed(stream, writer)
        if stream.failure is not None:
            await stream.settle()
        await asyncio.wait([writer])
    finally:
        if not writer.done():
            writer.cancel()
            await asyncio.wait([writer])


async def _listen(stream: Stream, requests: Requests, writer: asyncio.Task[None]) -> None:
    """Feed the stream until the requests end, or until it or the writer says so.

    A task of its own reads. To cancel it while gRPC receives would lose what gRPC holds for it, some
    80 bytes a call; when the call is over, its last read ends by itself.
    """
    over = Flag()
    reader: asyncio.Task[None] | None = None
    try:
        async with asyncio.timeout(CONFIG_DEADLINE_S) as reading:
            stream.on_interrupt(lambda: _stop(reading, 0.0))
            if stream.failure is not None:
                return  # since before it could be told here
            writer.add_done_callback(lambda task: _written(task, stream, reading))
            work = _read(stream, requests, over, lambda: _stop(reading, None))
            reader = asyncio.get_running_loop().create_task(work)
            await asyncio.shield(reader)
    except TimeoutError:
        if reader is not None and reader.done():
            reader.result()
        if stream.failure is None and not stream.finished:
            stream.fail(no_config())
    finally:
        over.set()
        if reader is not None and not reader.done() and stream.waiting_since is None:
            reader.cancel()


async def _read(stream: Stream, requests: Requests, over: Flag, configured: Callable[[], None]) -> None:
    """Feed the stream until the requests end, or ``over`` is so: then nothing is fed any more."""
    loop = asyncio.get_running_loop()
    stream.waiting_since = loop.time()
    try:
        async for request in requests:
            if over.is_set():
                return
            stream.waiting_since = None
            if isinstance(request, ServiceError):
                raise request
            begins = stream.session is None
            stream.receive(request)
            del request  # or it would be held until the next one comes
            if begins and stream.failure is None:
                configured()
            if not stream.has_room():
                await stream.room()
            stream.waiting_since = loop.time()
    except ServiceError as error:
        stream.fail(error)
    except grpc.aio.BaseError:
        if not over.is_set():  # or the status went out while gRPC received
            raise


def no_config() -> InvalidRequest:
    """The first message does not come."""
    return InvalidRequest(
        "request",
        f"nothing within {CONFIG_DEADLINE_S:g} s",
        "config as the first message",
        reason="CONFIG_MUST_BE_FIRST",
    )


def one_message(
    answer: Callable[[Any, Context], Awaitable[Message | None]],
    parse: Callable[[bytes], Message | ServiceError],
    serialise: Callable[[Any], bytes] | None,
) -> grpc.RpcMethodHandler[Any, Any]:
    """A handler of calls with one request. gRPC's own leaves a call open that is half-closed without any."""

    async def serve(requests: AsyncIterator[Message | ServiceError], context: Context) -> None:
        request = await anext(requests, None)
        if request is None:
            request = InvalidRequest("request", "none", "one message", reason="MALFORMED_MESSAGE")
        answered = await answer(request, context)
        if answered is not None:
            await context.write(answered)

    return grpc.stream_stream_rpc_method_handler(serve, parse, serialise)


async def first_message(requests: Requests) -> None:
    """Let a refused client finish its first message: failing in it, it would not see our status."""

    async def read() -> None:
        with suppress(grpc.aio.BaseError):  # it may end after the status
            await anext(requests, None)

    await asyncio.wait([asyncio.get_running_loop().create_task(read())], timeout=1.0)


def _written(writer: asyncio.Task[None], stream: Stream, reading: asyncio.Timeout) -> None:
    """The writer stopped: because all was said, the reader is too slow, or the client is gone."""
    if writer.cancelled():
        return
    error = writer.exception()
    if isinstance(error, ServiceError):
        stream.fail(error)
    elif error is not None and not isinstance(error, grpc.aio.BaseError):
        _log.error("an event could not be written", exc_info=error)
        stream.fail(InternalFault())
    elif error is None and stream.finished:
        _stop(reading, _HALF_CLOSE_GRACE_S)


def _stop(reading: asyncio.Timeout, after_s: float | None) -> None:
    """End the wait for messages, or wait as long as it takes; it may be over already."""
    try:
        reading.reschedule(None if after_s is None else asyncio.get_running_loop().time() + after_s)
    except RuntimeError:
        return


async def _until_written_or_failed(stream: Stream, writer: asyncio.Task[None]) -> None:
    """Wait for the last event of a session that heard everything, or until it fails before."""
    failed = asyncio.get_running_loop().create_task(stream.failed.wait())
    try:
        await asyncio.wait([writer, failed], return_when=asyncio.FIRST_COMPLETED)
    finally:
        failed.cancel()
        await asyncio.wait([failed])
