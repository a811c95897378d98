"""The Node client's session goes on over lines that break: no final lost, none twice."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.clients.programs import PATIENT, finish_after, read_until, run, start
from tests.clients.test_same import comparable, whole
from tests.support.fault_proxy import FaultProxy
from tests.support.wire import running_server
from tests.wire.client.helpers import Call, Requests, odd_server, response


def said(events: list[pb.SessionEvent]) -> dict[str, object]:
    """What was heard of the talk, whichever stream brought it."""
    found = comparable(events)
    for each in (event for kind in found.values() for event in kind):
        each.pop("epoch")
    return {kind: events for kind, events in found.items() if kind != "session_started"}


@pytest.mark.parametrize("politely", [False, True], ids=["reset", "ended"])
async def test_a_talk_over_many_lines_is_the_talk_over_one(talk: Path, politely: bool) -> None:
    async with running_server(PATIENT) as server, FaultProxy(server.address) as proxy:
        uncut = whole(
            await run("node", "--server", server.address, "--speed", "0", "--session-id", "talk", talk)
        )
        process = await start("node", "--server", proxy.address, "--speed", "8", "--session-id", "talk", talk)
        lines: list[str] = []
        for mark in ("speechStarted", "speechEnded", "progress", "speechStarted", "affect", "speechStarted"):
            lines += (
                await read_until(process, "sessionStarted", mark)
                if not lines
                else await read_until(process, mark)
            )
            assert proxy.cut(politely=politely) == 1
            lines += await read_until(process, "sessionStarted")
        done = await finish_after(process, lines)
    assert done.status == 0, done.err
    assert done.err.count("trying again") >= 6
    events = done.events
    assert sorted(event.sequence for event in events) == list(range(1, len(events) + 1)), "each once"
    assert said(events) == said(uncut)
    assert [e.session_started.session_epoch for e in events if e.HasField("session_started")] == list(
        range(1, max(event.epoch for event in events) + 1)
    )


async def test_a_line_that_breaks_while_events_come_again_loses_none(talk: Path) -> None:
    resumes: list[pb.Resume] = []

    async def breaking(requests: Requests, call: Call) -> None:
        config = (await anext(aiter(requests))).config
        resumes.append(config.resume)
        # Of each stream, how it begins and what comes again before its line breaks.
        first, *again = ((1, 2), (6, 3), (7, 4, 5, 8))[len(resumes) - 1]
        token = f"token {len(resumes)}".encode()
        await call.write(
            response(first, session_started=pb.SessionStarted(session_epoch=len(resumes), resume_token=token))
        )
        for sequence in again:
            await call.write(response(sequence, progress=pb.Progress(received_until_samples=sequence)))
        if len(resumes) < 3:
            await call.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
        await call.write(response(9, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)))

    async with odd_server(breaking) as address:
        done = await run("node", "--server", address, talk)
    assert done.status == 0
    assert [event.sequence for event in done.events] == [1, 2, 6, 3, 7, 4, 5, 8, 9]
    assert [each.last_sequence for each in resumes] == [0, 2, 3], "6 came before 4 and 5"
    assert [each.resume_token for each in resumes] == [b"", b"token 1", b"token 2"]
    assert [each.audio_offset_samples for each in resumes] == [0, 2, 3]


async def test_the_next_call_shows_the_cookie_of_the_proxy(talk: Path) -> None:
    shown: list[object] = []
    set_by: tuple[list[str], ...] = (["replica=one; path=/; HttpOnly", "zone=z"], [], ["replica=two"], [])

    async def breaking(requests: Requests, call: Call) -> None:
        shown.append(dict(call.invocation_metadata() or ()).get("cookie", ""))
        number = len(shown)
        await call.send_initial_metadata([("set-cookie", value) for value in set_by[number - 1]])
        await anext(aiter(requests))
        started = pb.SessionStarted(session_epoch=number, resume_token=b"token")
        await call.write(response(2 * number - 1, session_started=started))
        if number < len(set_by):
            await call.write(response(2 * number, progress=pb.Progress()))
            await call.abort(grpc.StatusCode.UNAVAILABLE, "the line broke")
        closed = pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)
        await call.write(response(2 * number, session_closed=closed))

    async with odd_server(breaking) as address:
        done = await run("node", "--server", address, talk)
    assert done.status == 0, done.err
    assert shown == ["", "replica=one; zone=z", "replica=one; zone=z", "replica=two; zone=z"]


async def test_a_stream_at_its_age_limit_goes_on_in_the_next(talk: Path) -> None:
    async with running_server(PATIENT | {"server": {"stream_age_s": 2, "drain_s": 0.5}}) as server:
        done = await run("node", "--server", server.address, "--speed", "8", talk)
    assert done.status == 0
    assert "reason: STREAM_AGE" in done.err
    events = done.events
    assert sorted(event.sequence for event in events) == list(range(1, len(events) + 1))
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
    assert events[-1].epoch > 1


async def test_it_gives_up_in_the_end(talk: Path) -> None:
    async with running_server(PATIENT) as server, FaultProxy(server.address) as proxy:
        process = await start("node", "--server", proxy.address, "--give-up-s", "1", talk)
        lines = await read_until(process, "speechStarted")
        await proxy.refuse()
        proxy.cut()
        done = await finish_after(process, lines)
    assert done.status == 1
    assert "connection refused" in done.err.splitlines()[-1]


async def test_without_reconnecting_a_cut_line_ends_the_command(talk: Path) -> None:
    async with running_server(PATIENT) as server, FaultProxy(server.address) as proxy:
        for language, options in (("node", ["--no-reconnect"]), ("go", [])):
            process = await start(language, "--server", proxy.address, *options, talk)
            lines = await read_until(process, "speechStarted")
            proxy.cut()
            done = await finish_after(process, lines)
            assert (done.status, done.err.count("\n")) == (1, 1)
            assert "UNAVAILABLE: the connection to the server was lost" in done.err


async def test_a_session_that_is_gone_is_not_tried_again(talk: Path) -> None:
    async with (
        running_server(PATIENT) as first,
        running_server(PATIENT) as second,
        FaultProxy(first.address) as proxy,
    ):
        process = await start("node", "--server", proxy.address, talk)
        lines = await read_until(process, "speechStarted")
        proxy.retarget(second.address)
        proxy.cut()
        done = await asyncio.wait_for(finish_after(process, lines), 30)
    assert done.status == 1
    assert "reason: SESSION_NOT_FOUND" in done.err.splitlines()[-1]
