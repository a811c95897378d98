"""The client where there is no server, or one that misbehaves. Every wait has its limit."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import grpc
import pytest

from affectstream import AffectClient, Progress, SessionClosed, SessionStarted, StreamConfig, Timeouts, errors
from affectstream.v1 import affect_pb2 as pb
from tests.support.waiting import waiting
from tests.support.wire import running_server
from tests.wire.client.helpers import STARTED, Call, Requests, odd_server, response

SHORT = Timeouts(connect_s=0.5, session_start_s=0.5, call_s=0.5, idle_s=0.5)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
    return port


async def open_stream(target: str) -> None:
    async with AffectClient(target, timeouts=SHORT) as client, client.stream():
        pytest.fail("there is no such server")


async def ask(target: str) -> None:
    async with AffectClient(target, timeouts=SHORT) as client:
        await client.server_info()


@pytest.mark.parametrize("call", [open_stream, ask])
async def test_no_server_there_is_said_at_once(call: Any) -> None:
    target = f"127.0.0.1:{free_port()}"
    async with waiting() as waited:
        with pytest.raises(errors.ConnectError, match=f"no server at {target}: connection refused") as error:
            await call(target)
        assert waited.seconds < SHORT.connect_s * 5
    assert error.value.retryable


@pytest.mark.parametrize("call", [open_stream, ask])
async def test_a_port_that_never_answers_is_given_up(call: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        async with waiting() as waited:
            with pytest.raises(errors.ServerUnavailable, match="no answer"):
                await call(f"127.0.0.1:{mute.getsockname()[1]}")
            assert waited.seconds < SHORT.connect_s * 5


@pytest.mark.parametrize("call", [open_stream, ask])
async def test_an_unknown_host_is_said_to_be_unknown(call: Any) -> None:
    with pytest.raises(errors.ConnectError, match="no such host name"):
        await call("no-such-host.invalid:443")


async def test_tls_to_a_plain_server_fails_in_plain_words() -> None:
    async with running_server() as server:
        credentials = grpc.ssl_channel_credentials()
        async with AffectClient(server.address, timeouts=SHORT, credentials=credentials) as client:
            with pytest.raises(errors.ConnectError, match="no server at"):
                async with client.stream():
                    pytest.fail("a plain server took TLS")


async def test_a_server_that_takes_the_config_and_says_nothing() -> None:
    async def silent(requests: Requests, _call: Call) -> None:
        async for _ in requests:
            pass

    async with odd_server(silent) as address:
        with pytest.raises(errors.TimedOut, match=r"sent no event within 0\.5 s"):
            await open_stream(address)


@pytest.mark.parametrize("first", [None, pb.Progress(), "unknown"])
async def test_a_first_event_of_another_kind_breaks_the_contract(first: Any) -> None:
    async def wrong(requests: Requests, call: Call) -> None:
        await anext(requests)
        if isinstance(first, pb.Progress):
            await call.write(response(progress=first))
        elif first == "unknown":
            await call.write(response())

    async with odd_server(wrong) as address:
        with pytest.raises(errors.ProtocolError, match="session_started"):
            await open_stream(address)


async def test_events_of_a_newer_server_are_skipped() -> None:
    async def newer(requests: Requests, call: Call) -> None:
        async for request in requests:
            if request.HasField("config"):
                await call.write(STARTED)
                await call.write(response(2))
                await call.write(response(3, progress=pb.Progress(received_until_samples=5)))

    async with odd_server(newer) as address, AffectClient(address) as client, client.stream() as stream:
        await stream.end()
        events = [event async for event in stream]
    assert [type(event) for event in events] == [SessionStarted, Progress]
    assert events[1].sequence == 3


async def test_finals_that_never_come_are_given_up() -> None:
    async def stuck(requests: Requests, call: Call) -> None:
        async for request in requests:
            if request.HasField("config"):
                await call.write(STARTED)
        await asyncio.sleep(30)

    async with (
        odd_server(stuck) as address,
        AffectClient(address, timeouts=SHORT) as client,
        client.stream() as stream,
    ):
        reading = asyncio.create_task(_drain(stream))
        await asyncio.sleep(SHORT.idle_s * 1.5)
        assert not reading.done(), "there is no limit while audio may still come"
        async with waiting() as waited:
            await stream.end()
            with pytest.raises(errors.TimedOut, match=r"nothing for 0\.5 s after the end of audio"):
                await reading
            assert waited.seconds < SHORT.idle_s * 5


async def test_a_connection_that_breaks_while_reading() -> None:
    async def leave(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)
        await call.abort(grpc.StatusCode.UNAVAILABLE, "Socket closed by 10.0.0.7")

    async with odd_server(leave) as address, AffectClient(address) as client:
        with pytest.raises(errors.ServerUnavailable) as error:
            async with client.stream() as stream:
                await _drain(stream)
    assert str(error.value) == "the connection to the server was lost"


async def test_an_error_while_sending_is_the_servers() -> None:
    async def refuse(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)
        await anext(requests)
        await call.abort(grpc.StatusCode.PERMISSION_DENIED, "nothing to see")

    async with odd_server(refuse) as address, AffectClient(address) as client, client.stream() as stream:
        with pytest.raises(errors.PermissionDenied):
            for _ in range(1_000):
                await stream.send(bytes(640))
                await asyncio.sleep(0.005)


@pytest.mark.parametrize("status", [grpc.StatusCode.OK, grpc.StatusCode.PERMISSION_DENIED])
async def test_a_call_that_ends_while_audio_is_sent_keeps_its_events_and_its_status(
    status: grpc.StatusCode,
) -> None:
    async def end(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)
        await asyncio.sleep(0.005)
        await call.write(response(2, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_DRAIN)))
        if status is not grpc.StatusCode.OK:
            await call.abort(status, "enough")

    async def talk(client: AffectClient) -> tuple[BaseException | None, list[Any], BaseException | None]:
        """What the sender was told, the events, and what the reader was told."""
        async with client.stream() as stream:
            events: list[Any] = []
            sending = asyncio.create_task(_forever(stream))
            read_error: BaseException | None = None
            try:
                async for event in stream:
                    events.append(event)  # noqa: PERF401  what came before an error counts
            except errors.AffectStreamError as error:
                read_error = error
            (sent_error,) = await asyncio.gather(sending, return_exceptions=True)
            return sent_error, events, read_error

    async with odd_server(end) as address, AffectClient(address) as client:
        for _ in range(30):
            sent_error, events, read_error = await talk(client)
            assert [type(event) for event in events] == [SessionStarted, SessionClosed]
            if status is grpc.StatusCode.OK:
                assert isinstance(sent_error, errors.StreamClosed)
                assert read_error is None
            else:
                assert isinstance(sent_error, (errors.PermissionDenied, errors.StreamClosed))
                assert isinstance(read_error, errors.PermissionDenied)


async def test_one_that_sends_and_does_not_read_is_told_in_time() -> None:
    async def end(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)
        await call.write(response(2, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_DRAIN)))

    async with odd_server(end) as address, AffectClient(address) as client, client.stream() as stream:
        with pytest.raises(errors.StreamClosed):
            await asyncio.wait_for(_forever(stream), 30)
        assert [type(event) for event in await _drain(stream)] == [SessionStarted, SessionClosed]


async def test_a_server_that_closes_early_without_an_error() -> None:
    async def polite(requests: Requests, call: Call) -> None:
        await anext(requests)
        await call.write(STARTED)

    async with odd_server(polite) as address, AffectClient(address) as client, client.stream() as stream:
        assert [type(event) for event in await _drain(stream)] == [SessionStarted]
        with pytest.raises(errors.StreamClosed):
            await stream.send(bytes(640))


async def test_cancelling_one_task_does_not_look_like_cancelling_another(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        reading = asyncio.create_task(_drain(stream))
        sending = asyncio.create_task(_forever(stream))
        await asyncio.sleep(0.3)
        sending.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sending
        try:
            async with asyncio.timeout(2):
                await reading
        except errors.Cancelled:
            assert not reading.cancelled(), "gRPC ended the call, and the reader was told so"
        except TimeoutError:
            pass  # the cancellation came between two sends, and the call goes on


async def test_cancelling_a_reader_is_a_cancellation(server_address: str) -> None:
    async with AffectClient(server_address) as client, client.stream() as stream:
        reading = asyncio.create_task(_drain(stream))
        await asyncio.sleep(0.1)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading


async def test_metadata_goes_with_every_call() -> None:
    seen: list[dict[str, Any]] = []

    async def record(requests: Requests, call: Call) -> None:
        seen.append(dict(call.invocation_metadata() or ()))
        await anext(requests)
        await call.write(STARTED)

    metadata = (("authorization", "Bearer t"),)
    async with odd_server(record) as address, AffectClient(address, metadata=metadata) as client:
        async with client.stream(StreamConfig()):
            pass
        with pytest.raises(errors.Unimplemented):
            await client.server_info()
    assert seen[0]["authorization"] == "Bearer t"


async def _drain(stream: Any) -> list[Any]:
    return [event async for event in stream]


async def _forever(stream: Any) -> None:
    while True:
        await stream.send(bytes(32_000))
