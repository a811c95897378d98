"""Tokens: every kind at every call. What is refused looks the same, whatever was wrong with it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from affectstream import AffectClient
from affectstream.errors import Unauthenticated
from affectstream.v1 import affect_pb2 as pb
from affectstream.v1 import affect_pb2_grpc
from affectstream.writing import WriteFailed, write
from affectstream_server.auth import tokens
from tests.support.wire import config, error_info, running_server
from tests.wire.access.issued import Issued, serving

Metadata = tuple[tuple[str, str], ...]
Call = Callable[[grpc.aio.Channel, Metadata], Any]


async def stream(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = affect_pb2_grpc.AffectServiceStub(channel)
    call = service.StreamAffect(metadata=metadata)
    with suppress(WriteFailed):  # it is refused already
        await write(call, config())
    assert await call.read()
    call.cancel()


async def analyze(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = affect_pb2_grpc.AffectServiceStub(channel)
    audio = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=16_000)
    request = pb.AnalyzeUtteranceRequest(audio=audio, data=bytes(32_000))
    await service.AnalyzeUtterance(request, metadata=metadata)


async def info(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = affect_pb2_grpc.AffectServiceStub(channel)
    await service.GetServerInfo(pb.GetServerInfoRequest(), metadata=metadata)


async def watch(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = affect_pb2_grpc.AffectServiceStub(channel)
    async for _ in service.WatchAffect(pb.WatchAffectRequest(), metadata=metadata):
        return


async def purge(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = affect_pb2_grpc.AffectServiceStub(channel)
    await service.PurgeSession(pb.PurgeSessionRequest(session_id="nobody"), metadata=metadata)


async def reflect(channel: grpc.aio.Channel, metadata: Metadata) -> None:
    service: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type] # it is aio's
    call = service.ServerReflectionInfo(metadata=metadata)
    request: Any = reflection_pb2.ServerReflectionRequest(list_services="")
    with suppress(WriteFailed):
        await write(call, request)
    assert await call.read()
    call.cancel()


CALLS: dict[str, Call] = {
    "StreamAffect": stream,
    "AnalyzeUtterance": analyze,
    "GetServerInfo": info,
    "WatchAffect": watch,
    "PurgeSession": purge,
    "reflection": reflect,
}


async def refusal(call: Call, channel: grpc.aio.Channel, metadata: Metadata) -> grpc.aio.AioRpcError | None:
    try:
        await call(channel, metadata)
    except grpc.aio.AioRpcError as error:
        return error
    return None


@pytest.mark.fault("token")
@pytest.mark.parametrize("name", CALLS)
async def test_every_bad_token_gets_the_same_answer_to_the_byte(issued: Issued, name: str) -> None:
    answers: dict[str, tuple[Any, ...]] = {}
    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        for cell, metadata in issued.bad.items():
            error = await refusal(CALLS[name], channel, metadata)
            assert error is not None, cell
            answers[cell] = (
                error.code(),
                error.details(),
                sorted(error.initial_metadata() or ()),
                sorted(error.trailing_metadata() or ()),
            )
            assert error_info(error).reason == "TOKEN_NOT_ACCEPTED"
    assert {code for code, *_ in answers.values()} == {grpc.StatusCode.UNAUTHENTICATED}
    assert len({repr(answer) for answer in answers.values()}) == 1


@pytest.mark.parametrize("name", CALLS)
async def test_a_good_token_opens_every_call(issued: Issued, name: str) -> None:
    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        for scheme in ("Bearer", "bearer"):
            error = await refusal(CALLS[name], channel, (("authorization", f"{scheme} {issued.acme}"),))
            if name in ("WatchAffect", "PurgeSession"):
                assert error is not None
                assert error.code() != grpc.StatusCode.UNAUTHENTICATED
            else:
                assert error is None


async def test_health_needs_no_token(issued: Issued) -> None:
    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await stub.Check(health_pb2.HealthCheckRequest())
        assert answer.status == health_pb2.HealthCheckResponse.SERVING


async def test_without_tokens_in_the_settings_none_is_needed_and_any_is_ignored() -> None:
    async with running_server() as server, grpc.aio.insecure_channel(server.address) as channel:
        assert await refusal(info, channel, ()) is None
        assert await refusal(info, channel, (("authorization", "Bearer x"),)) is None


async def test_the_tenant_is_the_token_s(issued: Issued) -> None:
    async with serving(issued) as server:
        for secret, tenant in ((issued.acme, "acme"), (issued.globex, "globex")):
            async with AffectClient(server.address, token=secret) as client, client.stream() as stream:
                (session,) = (s for s in server.pipeline.sessions if s.session_id == stream.session_id)
                assert (session.identity.tenant, session.identity.name) == (tenant, "agent")


async def test_concurrent_calls_keep_their_own_tenants(issued: Issued) -> None:
    async def tenant_of(secret: str) -> str:
        async with AffectClient(server.address, token=secret) as client, client.stream() as stream:
            await asyncio.sleep(0.05)
            return next(
                session.identity.tenant
                for session in server.pipeline.sessions
                if session.session_id == stream.session_id
            )

    async with serving(issued) as server:
        found = await asyncio.gather(*(tenant_of(s) for s in [issued.acme, issued.globex] * 4))
    assert found == ["acme", "globex"] * 4


async def test_a_session_is_not_there_for_another_tenant(issued: Issued) -> None:
    async def first_event(secret: str, request: pb.StreamAffectRequest) -> pb.SessionEvent:
        service: Any = affect_pb2_grpc.AffectServiceStub(channel)
        call = service.StreamAffect(metadata=(("authorization", f"Bearer {secret}"),))
        await call.write(request)
        response = await call.read()
        assert response is not grpc.aio.EOF, await call.details()
        call.cancel()
        event: pb.SessionEvent = response.event
        return event

    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        begin = config(resumable=True, session_id="talk")
        started = (await first_event(issued.acme, begin)).session_started
        go_on, unknown = config(resumable=True), config(resumable=True)
        go_on.config.resume.session_id = "talk"
        go_on.config.resume.resume_token = started.resume_token
        unknown.config.resume.session_id = "another"
        unknown.config.resume.resume_token = started.resume_token
        refused = []
        for request in (go_on, unknown):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await first_event(issued.globex, request)
            assert error.value.code() == grpc.StatusCode.NOT_FOUND
            refused.append(error.value.details())
        assert refused[0] == refused[1], "whether it is there is not told"
        assert (await first_event(issued.acme, go_on)).session_started.resumed
        assert not (await first_event(issued.globex, begin)).session_started.resumed


async def test_a_token_is_revoked_and_another_taken_without_a_restart(issued: Issued) -> None:
    async def accepted(secret: str) -> bool:
        async with AffectClient(server.address, token=secret) as client:
            try:
                await client.server_info()
            except Unauthenticated:
                return False
        return True

    async with serving(issued) as server:
        secret, line = tokens.make("acme", "new", None)
        assert [await accepted(secret), await accepted(issued.acme)] == [False, True]
        issued.file.write_text(line)
        assert [await accepted(secret), await accepted(issued.acme)] == [True, False]


async def test_a_broken_change_of_the_file_is_logged_once_and_the_tokens_before_stay(
    issued: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(issued) as server, AffectClient(server.address, token=issued.acme) as client:
        issued.file.write_text("- {name: half")
        for _ in range(3):
            await client.server_info()
    (told,) = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert str(issued.file) in told
    assert "not valid YAML" in told


async def test_a_fault_of_ours_lets_nobody_in_and_tells_nothing(
    issued: Issued, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_: object, secret: str) -> None:
        raise RuntimeError(f"no, {secret}")

    monkeypatch.setattr(tokens.Tokens, "identify", fail)
    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        error = await refusal(info, channel, (("authorization", f"Bearer {issued.acme}"),))
    assert error is not None
    assert error.code() == grpc.StatusCode.INTERNAL
    assert issued.acme not in str(error)


async def test_a_stream_outlives_its_token(issued: Issued) -> None:
    """It is asked for when a call begins; the next call needs one that is good."""
    async with (
        serving(issued) as server,
        AffectClient(server.address, token=issued.acme) as client,
        client.stream() as stream,
    ):
        issued.file.write_text(tokens.make("globex", "agent", None)[1])
        with pytest.raises(Unauthenticated):
            await client.server_info()
        await stream.send(bytes(640))
        await stream.end()
        assert [type(event).__name__ async for event in stream][-1] == "SessionClosed"


async def test_refusals_are_logged_with_their_cause_without_the_token_and_not_each(
    issued: Issued, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(issued) as server, grpc.aio.insecure_channel(server.address) as channel:
        for _ in range(20):
            for metadata in issued.bad.values():
                await refusal(info, channel, metadata)
    told = [record.getMessage() for record in caplog.records if "refused" in record.getMessage()]
    assert len(told) == 1
    assert "no token" in told[0]
    assert "127.0.0.1" in told[0]
    for secret in (issued.acme, issued.expired, issued.unknown):
        assert secret not in caplog.text


@pytest.mark.fault("token")
async def test_a_flood_of_refused_calls_keeps_nobody_out(issued: Issued) -> None:
    async def flood() -> None:
        async with grpc.aio.insecure_channel(server.address) as channel:
            while True:
                await refusal(info, channel, issued.bad["unknown"])

    async with serving(issued) as server, AffectClient(server.address, token=issued.acme) as client:
        flooding = [asyncio.create_task(flood()) for _ in range(4)]
        for _ in range(50):
            await client.server_info()
        for task in flooding:
            task.cancel()
        await asyncio.gather(*flooding, return_exceptions=True)
