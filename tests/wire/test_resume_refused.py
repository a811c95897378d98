"""Sessions that another stream may not continue, and what is kept for those that may."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import grpc
import pytest

from tests.support.speech import sample_talk
from tests.support.wire import (
    END,
    Request,
    config,
    error_info,
    finals,
    of_kind,
    refusal,
    running_server,
    stream_talk,
)
from tests.wire.resuming import asked, calling, frames, lost

TALK = sample_talk()
DATA = TALK.tobytes()
SECOND = 16_000
REFUSED: dict[str, tuple[dict[str, int], dict[str, Any], str]] = {
    "offset in the future": ({"offset": 100 * SECOND}, {}, "OFFSET_OUT_OF_RANGE"),
    "negative offset": ({"offset": -1}, {}, "OFFSET_OUT_OF_RANGE"),
    "sequence in the future": ({}, {"resume.last_sequence": 99}, "INVALID_FIELD"),
    "another id": ({}, {"session_id": "other"}, "INVALID_FIELD"),
    "another model": ({}, {"model": "other"}, "RESUME_CONFIG_DIFFERS"),
    "another hang-over": ({}, {"endpointing.hangover_ms": 900}, "RESUME_CONFIG_DIFFERS"),
    "no longer resumable": ({}, {"resumable": False}, "RESUME_CONFIG_DIFFERS"),
    "another number of channels": ({}, {"audio.channel_count": 2}, "RESUME_CONFIG_DIFFERS"),
    "a rate out of range": ({"rate_hz": 1_000}, {}, "BAD_SAMPLE_RATE"),
}


async def test_a_wrong_token_an_unknown_session_and_an_expired_one_look_the_same() -> None:
    async with running_server({"server": {"resume_s": 0.2}}) as server:
        async with calling(server.address, asked()) as call:
            good = call.next(offset=0)
        wrong, unknown = Request(), Request()
        for other in (wrong, unknown):
            other.CopyFrom(good)
        wrong.config.resume.resume_token = b"x" * 20
        unknown.config.resume.session_id = "another"
        answers = [await refusal(server.address, [request]) for request in (wrong, unknown)]
        await lost(server)
        async with asyncio.timeout(30):
            while server.pipeline.sessions.lost:
                await asyncio.sleep(0.01)
        answers.append(await refusal(server.address, [good]))
        assert {(a.code(), a.details(), error_info(a).reason) for a in answers} == {
            (grpc.StatusCode.NOT_FOUND, answers[0].details(), "SESSION_NOT_FOUND")
        }


async def test_a_used_token_makes_the_ones_before_worthless() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as first:
            pass
        async with calling(server.address, first.next(offset=0)) as second:
            pass
        async with calling(server.address, second.next(offset=0)):
            answer = await refusal(server.address, [first.next(offset=0)])
            assert (answer.code(), error_info(answer).reason) == (
                grpc.StatusCode.FAILED_PRECONDITION,
                "RESUME_SUPERSEDED",
            )


@pytest.mark.parametrize("case", REFUSED)
async def test_a_refused_resume_harms_nobody(case: str) -> None:
    options, fields, reason = REFUSED[case]
    async with running_server() as server, calling(server.address, asked()) as call:
        request = call.next(offset=options.get("offset", 0), rate_hz=options.get("rate_hz", 0))
        for name, value in fields.items():
            *path, last = name.split(".")
            message: Any = request.config
            for part in path:
                message = getattr(message, part)
            setattr(message, last, value)
        answer = await refusal(server.address, [request])
        assert (answer.code(), error_info(answer).reason) == (grpc.StatusCode.INVALID_ARGUMENT, reason)
        await call.send([*frames(DATA, 0, 2 * SECOND), END])
        await call.call.done_writing()
        assert await call.to_the_end() is grpc.StatusCode.OK


async def test_only_a_session_that_asked_for_it_is_kept() -> None:
    async with running_server() as server:
        async with calling(server.address, config(session_id="talk")) as call:
            assert not call.started.resume_token
            assert not call.started.HasField("resume_window")
        async with asyncio.timeout(30):
            while server.pipeline.streams:
                await asyncio.sleep(0.005)
        assert not server.pipeline.sessions.lost


async def test_an_id_in_use_is_refused_and_free_again_after_the_end() -> None:
    async with running_server() as server:
        async with calling(server.address, asked()) as call:
            answer = await refusal(server.address, [asked()])
            assert (answer.code(), error_info(answer).reason) == (
                grpc.StatusCode.ALREADY_EXISTS,
                "SESSION_EXISTS",
            )
            await call.send([END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
        assert len(await stream_talk(server.address, TALK[:SECOND], session_id="talk")) > 1


@pytest.mark.parametrize("resumable", [True, False], ids=["resumable", "not resumable"])
async def test_an_id_is_free_once_its_session_is_over_although_its_call_is_not(
    resumable: bool, caplog: pytest.LogCaptureFixture
) -> None:
    first = config(session_id="talk", resumable=resumable)
    async with running_server({"server": {"resume_s": 0.2}}) as server:
        sessions = server.pipeline.sessions
        async with calling(server.address, first) as before:
            await before.send([END])
            await before.until(lambda events: of_kind(events, "session_closed"))
            async with calling(server.address, first) as after:
                await before.call.done_writing()
                assert await before.to_the_end() is grpc.StatusCode.OK
                while sessions.streams > 1 or sessions.lost:
                    await asyncio.sleep(0.01)
                assert [session.stream is not None for session in sessions] == [True], "the new one is known"
                await after.send([*frames(DATA, 0, 4 * SECOND), END])
                await after.call.done_writing()
                assert await after.to_the_end() is grpc.StatusCode.OK
                assert finals(after.events)
        async with asyncio.timeout(30):
            while len(sessions):
                await asyncio.sleep(0.01)
        assert server.pipeline.quotas.tenant("default").streams == 0
    assert [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR] == []


async def test_no_more_sessions_are_kept_than_streams_are_served() -> None:
    async with running_server({"server": {"max_streams": 2}}) as server:
        calls = []
        for name in ("a", "b", "c"):
            async with calling(server.address, config(resumable=True, session_id=name)) as call:
                calls.append(call)
            await lost(server)
        assert server.pipeline.sessions.lost == 2
        assert (await refusal(server.address, [calls[0].next(offset=0)])).code() is grpc.StatusCode.NOT_FOUND
        async with calling(server.address, calls[2].next(offset=0)) as call:
            assert call.started.resumed
