"""Two tenants of one server: one takes what it can get, and the other does not notice."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream import AffectClient, AffectEvent, AffectStatus, AffectStream, Timeouts
from affectstream.errors import AffectStreamError, ResourceExhausted
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import tokens
from tests.support.speech import sample_talk
from tests.support.wire import config, running_server, stub

TALK = sample_talk()[: 16_000 * 8]
PATIENT = Timeouts(connect_s=60, session_start_s=60, call_s=60, idle_s=60)
"""A flood makes a busy machine busier: here nobody gives up for that."""
SMALL = {
    "server": {"max_streams": 8, "max_analyses": 4},
    "scoring": {"max_pending": 3},
}


@pytest.fixture
def secrets(tmp_path: Path) -> tuple[dict[str, Any], str, str]:
    """Settings that ask for a token, and the tokens of a calm and a rude tenant."""
    (calm, first), (rude, second) = (tokens.make(name, "test", None) for name in ("calm", "rude"))
    file = tmp_path / "tokens.yaml"
    file.write_text(first + second)
    return {"auth": {"tokens_file": str(file)}}, calm, rude


async def talk(stream: AffectStream, samples: NDArray[np.int16], pause_s: float) -> list[AffectEvent]:
    """Every final of a talk that is sent in frames of 20 ms with pauses between."""

    async def speak() -> None:
        for start in range(0, len(samples), 320):
            await stream.send(samples[start : start + 320])
            await asyncio.sleep(pause_s)
        await stream.end()

    speaking = asyncio.create_task(speak())
    try:
        return [event async for event in stream if isinstance(event, AffectEvent)]
    finally:
        speaking.cancel()
        await asyncio.wait([speaking])


class Rude:
    """Calls without end, and how many were refused."""

    def __init__(self, client: AffectClient) -> None:
        self._client = client
        self.served = 0
        self.reasons: set[str] = set()

    async def stream(self) -> None:
        while True:
            try:
                async with self._client.stream() as stream:
                    await talk(stream, TALK, 0)
                    self.served += 1
            except ResourceExhausted as error:
                await self._refused(error)

    async def analyze(self) -> None:
        while True:
            try:
                await self._client.analyze(TALK)
                self.served += 1
            except ResourceExhausted as error:
                await self._refused(error)

    async def _refused(self, error: AffectStreamError) -> None:
        self.reasons.add(error.reason)
        assert error.retry_after_s is not None
        await asyncio.sleep(0.02)


@asynccontextmanager
async def flooding(rude: Rude) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(call()) for call in (rude.stream, rude.analyze) for _ in range(12)]
    await asyncio.sleep(0.3)
    yield
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not [result for result in results if not isinstance(result, asyncio.CancelledError)]


@pytest.mark.fault("limits reached")
@pytest.mark.timeout(300)
async def test_a_flood_costs_the_other_no_call_no_final_and_no_score(
    secrets: tuple[dict[str, Any], str, str],
) -> None:
    auth, calm, rude_token = secrets
    async with (
        running_server(auth | SMALL) as server,
        AffectClient(server.address, token=calm, timeouts=PATIENT) as client,
        AffectClient(server.address, token=rude_token, timeouts=PATIENT) as other,
    ):
        rude = Rude(other)
        async with flooding(rude):
            async with client.stream() as stream:
                finals = await asyncio.wait_for(talk(stream, TALK, 0.002), 120)
            assert len(finals) >= 2
            assert AffectStatus.OVERLOADED not in {final.status for final in finals}
            analysed = await client.analyze(TALK[16_000:48_000])
            assert analysed.status is not AffectStatus.OVERLOADED
    assert rude.served
    assert {"TENANT_STREAMS", "TENANT_ANALYSES"} <= rude.reasons, "it was held, not the server"


async def first_answer(
    address: str, token: str, request: pb.StreamAffectRequest, done: asyncio.Event
) -> pb.SessionEvent:
    """The first event of a call, which stays open until ``done``. Raises `grpc.aio.AioRpcError`."""
    async with stub(address) as service:
        call = service.StreamAffect(metadata=(("authorization", f"Bearer {token}"),))
        with suppress(asyncio.InvalidStateError):  # it is refused already
            await call.write(request)
        response = await call.read()
        assert isinstance(response, pb.StreamAffectResponse)
        await done.wait()
        call.cancel()
        return response.event


async def test_the_same_id_of_two_tenants_is_two_sessions(secrets: tuple[dict[str, Any], str, str]) -> None:
    auth, calm, rude = secrets
    done = asyncio.Event()
    async with running_server(auth) as server:
        calls = [
            asyncio.create_task(first_answer(server.address, token, config(session_id="call-1"), done))
            for token in (calm, rude)
        ]
        while len(owners := {(s.identity.tenant, s.session_id) for s in server.pipeline.sessions}) < 2:
            assert not any(call.done() for call in calls)
            await asyncio.sleep(0.01)
        done.set()
        answers = await asyncio.gather(*calls)
    assert owners == {("calm", "call-1"), ("rude", "call-1")}
    assert {answer.session_id for answer in answers} == {"call-1"}


async def test_another_tenant_s_session_cannot_be_continued_even_with_its_token(
    secrets: tuple[dict[str, Any], str, str],
) -> None:
    auth, calm, rude = secrets
    done = asyncio.Event()
    done.set()
    async with running_server(auth) as server:
        mine = await first_answer(server.address, calm, config(resumable=True), done)
        again = config(resumable=True)
        again.config.resume.session_id = mine.session_id
        again.config.resume.resume_token = mine.session_started.resume_token
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await first_answer(server.address, rude, again, done)
        unknown = config(resumable=True)
        unknown.config.resume.session_id = "0" * 32
        unknown.config.resume.resume_token = mine.session_started.resume_token
        with pytest.raises(grpc.aio.AioRpcError) as made_up:
            await first_answer(server.address, rude, unknown, done)
        assert (caught.value.code(), caught.value.details()) == (
            made_up.value.code(),
            made_up.value.details(),
        ), "it is as if there were none"
        assert caught.value.code() == grpc.StatusCode.NOT_FOUND
        assert (await first_answer(server.address, calm, again, done)).session_started.resumed
