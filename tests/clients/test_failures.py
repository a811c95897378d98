"""What goes wrong, as Node and Go tell it: refusals, servers of another version, drains, silence."""

from __future__ import annotations

import asyncio
import json
import signal
import struct
from pathlib import Path

import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.edge.arguments import MIN_PING_INTERVAL_MS
from tests.clients.programs import OTHERS, PATIENT, ROOT, finish_after, read_until, run, start
from tests.support.http2 import listening
from tests.support.process import start_process
from tests.support.wire import running_server
from tests.wire.client.helpers import STARTED, Call, Requests, odd_server, response


@pytest.mark.parametrize("language", OTHERS)
async def test_a_refusal_shows_reason_field_value_and_limit(language: str) -> None:
    async with running_server(PATIENT) as server:
        done = await run(language, "--server", server.address, "--rate", "4000", "-", data=bytes(640))
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith(
        "INVALID_ARGUMENT: config.audio.sample_rate_hz: got 4000, expected 8000 to 48000 Hz (reason: "
        "BAD_SAMPLE_RATE, field: config.audio.sample_rate_hz, value: 4000, limit: 8000 to 48000 Hz)\n"
    )


@pytest.mark.parametrize("language", OTHERS)
async def test_a_server_that_requires_consent_gets_its_basis(language: str, short: Path) -> None:
    async with running_server(PATIENT | {"consent": {"required": True}}) as server:
        to = ("--server", server.address, "--speed", "0")
        refused = await run(language, *to, short)
        done = await run(language, *to, "--consent-basis", "not-personal", short)
        wrong = await run(language, *to, "--consent-basis", "maybe", short)
    assert (refused.status, "CONSENT_REQUIRED" in refused.err) == (1, True)
    assert (done.status, done.err) == (0, "")
    assert (wrong.status, "--consent-basis: got maybe, expected one of consent, " in wrong.err) == (2, True)


@pytest.mark.parametrize("language", OTHERS)
async def test_a_full_server_says_when_to_come_again(language: str, short: Path) -> None:
    async with running_server({"server": {"max_streams": 1}}) as server:
        holding = await start(
            language, "--server", server.address, "--rate", "16000", "-", stdin=asyncio.subprocess.PIPE
        )
        await read_until(holding, "sessionStarted")
        done = await run(language, "--server", server.address, short)
        assert (done.status, done.out) == (1, "")
        assert "RESOURCE_EXHAUSTED" in done.err
        assert "retry after: " in done.err
        assert holding.stdin is not None
        holding.stdin.close()
        assert (await finish_after(holding, [])).status == 0


@pytest.mark.parametrize("language", OTHERS)
async def test_what_a_later_server_says_is_kept(language: str, short: Path) -> None:
    """An enum value, a field and a kind of event that this contract does not have."""

    async def later(requests: Requests, call: Call) -> None:
        await call.write(STARTED)
        affect = pb.AffectEvent.FromString(b"\xfa\x3e\x01x")  # field 1007
        affect.stage = pb.STAGE_FINAL
        affect.status = 99  # type: ignore[assignment]
        await call.write(response(2, affect=affect))
        unknown = pb.StreamAffectResponse(
            event=pb.SessionEvent.FromString(b"\x18\x03\xfa\x3e\x00")  # sequence 3, and field 1007
        )
        await call.write(unknown)
        async for _ in requests:
            pass
        await call.write(response(4, session_closed=pb.SessionClosed(reason=pb.CLOSE_REASON_END_OF_AUDIO)))

    async with odd_server(later) as address:
        done = await run(language, "--server", address, "--speed", "0", short)
    assert (done.status, done.err) == (0, "")
    lines = [json.loads(line) for line in done.out.splitlines()]
    assert [line["sequence"] for line in lines] == ["1", "2", "3", "4"]
    assert lines[1]["affect"] == {"stage": "STAGE_FINAL", "status": 99}


@pytest.mark.parametrize("language", OTHERS)
async def test_ok_before_the_end_is_no_good_end(language: str, short: Path) -> None:
    async def hasty(_: Requests, call: Call) -> None:
        await call.write(STARTED)

    async with odd_server(hasty) as address:
        done = await run(language, "--server", address, short)
    assert (done.status, len(done.events)) == (1, 1)
    assert "UNAVAILABLE: the call ended before the session" in done.err


@pytest.mark.parametrize("language", OTHERS)
async def test_a_server_that_drains_is_heard_to_its_last_event(language: str, talk: Path) -> None:
    process, address = start_process()
    try:
        client = await start(language, "--server", address, "--speed", "4", talk)
        lines = await read_until(client, "speechStarted")
        process.send_signal(signal.SIGTERM)
        done = await finish_after(client, lines)
        assert await asyncio.to_thread(process.wait, 20) == 0
    finally:
        process.kill()
        process.communicate()
    assert done.status == 1
    assert "UNAVAILABLE" in done.err
    assert "reason: DRAINING" in done.err
    events = done.events
    closing = [event.session_closing for event in events if event.HasField("session_closing")]
    assert [each.reason for each in closing] == [pb.CLOSE_REASON_DRAIN]
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_DRAIN
    started = [event for event in events if event.HasField("speech_started")]
    assert len(done.finals) == len(started) >= 1, "the open one was finished"


@pytest.mark.parametrize("language", OTHERS)
async def test_nobody_there_and_nobody_who_answers(language: str, short: Path) -> None:
    gone = await run(language, "--server", "127.0.0.1:1", short)
    assert (gone.status, gone.err.count("\n")) == (1, 1)
    assert "UNAVAILABLE: no connection to 127.0.0.1:1: connection refused" in gone.err
    async with listening() as (address, _):
        silent = await run(language, "--server", address, "--start-s", "0.5", short)
    assert (silent.status, silent.err.count("\n")) == (1, 1)
    assert "DEADLINE_EXCEEDED: no session_started within 0.5" in silent.err


async def test_a_server_that_answers_nothing_is_pinged_seldom_enough_and_given_up(short: Path) -> None:
    async def silent(language: str) -> None:
        async with listening(answers=False) as (address, peers):
            done = await run(language, "--server", address, "--start-s", "40", short)
            assert (done.status, done.err.count("\n")) == (1, 1)
            assert "UNAVAILABLE: the connection to the server was lost" in done.err
            peer = peers[0]  # a library may connect again by itself
            assert [round(at_s) for at_s in peer.pings] == [2 * MIN_PING_INTERVAL_MS / 1_000], language
            assert peer.closed_at is not None
            assert peer.closed_at < 20

    await asyncio.gather(*map(silent, OTHERS))


@pytest.mark.parametrize("language", OTHERS)
async def test_input_that_cannot_be_read_is_status_2(language: str, tmp_path: Path) -> None:
    text = tmp_path / "notes.wav"
    text.write_text("no audio at all, though it is called so")
    empty = tmp_path / "empty.wav"
    form = struct.pack("<IHHIIHH", 16, 1, 0, 16_000, 0, 0, 16)  # of no channel
    empty.write_bytes(b"RIFF" + bytes(4) + b"WAVEfmt " + form + b"data" + bytes(4))
    for arguments, says in (
        ([text], "no WAV file"),
        ([empty], "got 0 channels"),
        ([tmp_path / "gone.wav"], "no such file"),
        (["-"], "--rate"),
    ):
        done = await run(language, "--server", "127.0.0.1:1", *arguments)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
        assert says in done.err


@pytest.mark.parametrize("language", OTHERS)
async def test_ctrl_c_ends_the_audio_and_waits_for_the_finals(language: str, talk: Path) -> None:
    async with running_server(PATIENT) as server:
        process = await start(language, "--server", server.address, talk)
        lines = await read_until(process, "speechStarted")
        process.send_signal(signal.SIGINT)
        done = await finish_after(process, lines)
    assert (done.status, done.err) == (0, "")
    assert len(done.finals) == 1
    assert done.events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


def test_the_lock_names_the_default_registry_only() -> None:
    packages = json.loads((ROOT / "clients/node/package-lock.json").read_text())["packages"]
    named = {name: package["resolved"] for name, package in packages.items() if name}
    assert named
    assert [url for url in named.values() if not url.startswith("https://registry.npmjs.org/")] == []
