"""`affectstream watch` and `affectstream purge`, as programs."""

from __future__ import annotations

import asyncio
import io
import json
import signal
import sys
from collections import deque

import pytest
from rich.console import Console

from affectstream import events
from affectstream.commands.playback import Heard
from affectstream.commands.recap import sparkline
from affectstream.commands.watch_view import WatchView
from affectstream.decode import decode
from affectstream.errors import ServerUnavailable
from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import stream_talk

TALK = sample_talk()[: 8 * 16_000]


async def affectstream(*words: str) -> tuple[int | None, str, str]:
    """Exit status, standard output and standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream.cli", *words),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    return process.returncode, out.decode(), err.decode()


async def test_a_session_as_json_lines_and_on_from_any_of_them(server_address: str) -> None:
    said = await stream_talk(server_address, TALK, session_id="call", resumable=True)
    code, out, err = await affectstream(
        "watch", "call", "--server", server_address, "--from", "earliest", "--format", "jsonl"
    )
    assert (code, err) == (0, "")
    lines = [json.loads(line) for line in out.splitlines()]
    assert [int(line["sequence"]) for line in lines] == [event.sequence for event in said]
    assert "resumeToken" not in out
    cursor = lines[2]["cursor"]
    code, out, _ = await affectstream(
        "watch", "call", "--server", server_address, "--after", cursor, "--format", "jsonl"
    )
    assert (code, [json.loads(line) for line in out.splitlines()]) == (0, lines[3:])


async def test_plain_lines_in_a_pipe_and_a_purge(server_address: str) -> None:
    said = await stream_talk(server_address, TALK, session_id="call")
    code, out, _ = await affectstream("watch", "call", "--server", server_address, "--from", "earliest")
    assert code == 0
    assert "session call" in out
    assert "arousal" in out
    assert out.rstrip().endswith("closed: END_OF_AUDIO")
    assert await affectstream("purge", "call", "--server", server_address) == (
        0,
        f"{len(said)} events of call removed\n",
        "",
    )
    for command in ("watch", "purge"):
        code, out, err = await affectstream(command, "call", "--server", server_address)
        assert (code, out) == (1, "")
        assert "session_id" in err


async def test_ctrl_c_ends_a_tenants_watch_in_order(server_address: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream.cli", "watch", "--all", "--server", server_address),
        *("--format", "jsonl", "--from", "earliest"),
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    await stream_talk(server_address, TALK[:16_000], session_id="call")
    first = json.loads(await asyncio.wait_for(process.stdout.readline(), 30))
    assert first["sessionId"] == "call"
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0


@pytest.mark.parametrize(
    "words", [(), ("call", "--all"), ("call", "--after", "!"), ("call", "--from", "noon")]
)
async def test_wrong_usage_is_told(server_address: str, words: tuple[str, ...]) -> None:
    code, out, err = await affectstream("watch", *words, "--server", server_address)
    assert (code, out) == (2, "")
    assert err


async def test_the_view_shows_state_values_lag_and_a_lost_line(server_address: str) -> None:
    said = await stream_talk(server_address, TALK, session_id="call")
    console = Console(file=io.StringIO(), force_terminal=True, width=120, height=30)
    view = WatchView("call", console)
    for message in said:
        event = decode(message)
        assert event is not None
        view.heard(Heard(event, 12.0))
    view.lost(ServerUnavailable("the connection to the server was lost"))
    with console.capture() as shown:
        console.print(view._picture())
    view.lost(None)
    view.close()
    text = shown.get()
    arousal = [e.affect.dimensions.arousal for e in said if e.HasField("affect")]
    assert "closed: END_OF_AUDIO" in text
    assert "lag 12 ms" in text
    assert f"{arousal[-1]:.2f}" in text
    assert sparkline(deque(arousal)) in text
    assert "line lost, trying again" in text
    assert "line lost" not in _text_of(view)


async def test_the_view_says_when_the_bus_is_away() -> None:
    view = WatchView("every session", Console(file=io.StringIO(), force_terminal=True, width=120))
    for code, expected in (("BUS_AWAY", True), ("BUS_BACK", False)):
        told = decode(pb.SessionEvent(warning=pb.Warning(code=code, message="the bus cannot be reached")))
        assert isinstance(told, events.Warning)
        view.heard(Heard(told))
        assert ("cannot be reached" in _text_of(view)) is expected
    view.close()


def _text_of(view: WatchView) -> str:
    console = Console(file=io.StringIO(), width=120)
    console.print(view._picture())
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_a_sparkline_has_a_bar_for_each_value() -> None:
    assert sparkline(deque([0.0, 0.5, 1.0, None])) == "▁▅█·"
