"""`affectstream stream` and `info` as processes against a real server."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import pty
import re
import signal
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from google.protobuf.json_format import Parse
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from tests.support.fault_proxy import FaultProxy
from tests.support.speech import SAMPLE_TALK, sample_talk
from tests.support.wire import finals, running_server, seconds, stream_talk
from tests.wire.client.helpers import Done, finish, run_cli, start_cli

TALK = sample_talk()
SHORT: NDArray[np.int16] = TALK[: 16 * 7_200]
"""The first two utterances."""


@pytest.fixture
def short(tmp_path: Path) -> Path:
    path = tmp_path / "short.wav"
    soundfile.write(path, SHORT, 16_000)
    return path


def bounds_s(done: Done) -> list[tuple[float, float]]:
    return [
        (final.audio_start.ToNanoseconds() / 1e9, final.audio_end.ToNanoseconds() / 1e9)
        for final in done.finals
    ]


async def test_json_lines_are_events_in_order_and_nothing_else(server_address: str) -> None:
    done = await run_cli(
        "stream", SAMPLE_TALK, "--server", server_address, "--speed", "0", "--format", "jsonl"
    )
    assert (done.status, done.err) == (0, "")
    assert [event.sequence for event in done.events] == list(range(1, len(done.events) + 1))
    assert done.events[0].WhichOneof("event") == "session_started"
    assert done.events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
    raw = finals(await stream_talk(server_address, TALK))
    assert bounds_s(done) == [(seconds(final.audio_start), seconds(final.audio_end)) for final in raw]


async def test_cues_are_a_line_below_the_utterance_and_in_the_events(short: Path) -> None:
    outputs = {"outputs": {"cues_wait_ms": 5_000, "saliency_wait_ms": 5_000}}
    async with running_server(outputs) as server:
        arguments = ("stream", short, "--server", server.address, "--speed", "0", "--cues")
        plain = await run_cli(*arguments)
        events = await run_cli(*arguments, "--saliency", "--format", "jsonl")
    lines = plain.out.splitlines()
    below = [after for line, after in itertools.pairwise(lines) if re.match(r" +\d+  \d", line)]
    assert len(below) == 2
    assert all(re.search(r"pitch \d+ Hz, level -\d+ dBFS", line) for line in below)
    assert all(final.cues for final in events.finals)
    assert any(final.saliency for final in events.finals)


async def test_speed_does_not_change_what_is_heard(server_address: str, short: Path) -> None:
    arguments = ("stream", short, "--server", server_address, "--format", "jsonl", "--speed")
    fast, paced = await asyncio.gather(run_cli(*arguments, "0"), run_cli(*arguments, "8"))
    assert bounds_s(fast) == bounds_s(paced)
    assert len(paced.finals) == 2
    for one, other in zip(fast.finals, paced.finals, strict=True):
        assert (one.top_label, one.status) == (other.top_label, other.status)
        assert [e.probability for e in one.emotions] == pytest.approx([e.probability for e in other.emotions])


async def test_pacing_keeps_real_time(server_address: str, tmp_path: Path) -> None:
    path = tmp_path / "second.wav"
    soundfile.write(path, SHORT[: 16 * 1_500], 16_000)
    loop = asyncio.get_running_loop()
    lengths_s = []
    for speed in ("1", "0"):
        process = await start_cli(
            "stream", path, "--server", server_address, "--speed", speed, "--format", "jsonl"
        )
        assert process.stdout is not None
        await (
            process.stdout.readline()
        )  # from the session's start on: a program's own start takes what it likes
        begun_s = loop.time()
        assert (await finish(process)).status == 0
        lengths_s.append(loop.time() - begun_s)
    assert lengths_s[0] - lengths_s[1] > 1.5 * 0.6, "1.5 s of audio take 1.5 s more than none at all"


async def test_stereo_float_at_44_1_khz_agrees_with_mono_at_16_khz(
    server_address: str, short: Path, tmp_path: Path
) -> None:
    import soxr

    high = soxr.resample(SHORT.astype(np.float32) / 32_768, 16_000, 44_100)
    path = tmp_path / "stereo.wav"
    soundfile.write(path, np.stack([np.zeros_like(high), high], axis=1), 44_100, subtype="FLOAT")
    arguments = ("--server", server_address, "--speed", "0", "--format", "jsonl")
    stereo, mono = await asyncio.gather(
        run_cli("stream", path, "--channel", "1", *arguments), run_cli("stream", short, *arguments)
    )
    assert stereo.err == ""
    started = stereo.events[0].session_started
    assert (started.audio.encoding, started.audio.sample_rate_hz) == (pb.AUDIO_ENCODING_FLOAT32, 44_100)
    assert {event.channel for event in stereo.events if event.HasField("affect")} == {1}
    assert np.allclose(bounds_s(stereo), bounds_s(mono), atol=0.05)
    silent = await run_cli("stream", path, "--channel", "0", *arguments)
    assert silent.finals == []


@pytest.mark.parametrize("law", ["mulaw", "alaw"])
async def test_a_recording_can_go_companded(server_address: str, short: Path, law: str) -> None:
    done = await run_cli(
        "stream", short, "--server", server_address, "--speed", "0", "--format", "jsonl", "--encoding", law
    )
    assert done.events[0].session_started.audio.encoding == getattr(pb, f"AUDIO_ENCODING_{law.upper()}")
    assert len(done.finals) == 2


async def test_raw_pcm_on_standard_input(server_address: str, short: Path) -> None:
    arguments = ("--server", server_address, "--speed", "0", "--format", "jsonl")
    raw = await run_cli("stream", "-", "--rate", "16000", *arguments, data=SHORT.tobytes())
    assert raw.err == ""
    assert bounds_s(raw) == bounds_s(await run_cli("stream", short, *arguments))
    torn = await run_cli("stream", "-", "--rate", "16000", *arguments, data=bytes(6_401))
    assert torn.status == 2
    assert "the last had 1" in torn.err


async def test_a_pipe_gets_plain_lines(server_address: str, short: Path) -> None:
    done = await run_cli("stream", short, "--server", server_address, "--speed", "8")
    lines = done.out.splitlines()
    assert lines[0].startswith("session ")
    assert re.fullmatch(
        r"  1  0:00\.\d\d-0:03\.\d\d  \w+ 0\.\d\d +arousal 0\.\d\d  \w+ +"
        r"hang-over \d+ ms  lag \d+ ms(  ahead)?",
        lines[1],
    )
    assert lines[-1] == "closed: END_OF_AUDIO"
    assert "\x1b" not in done.out


@pytest.fixture
def call(tmp_path: Path) -> Path:
    """A stereo call: the first utterance on channel 0, the second on channel 1."""
    stereo = np.zeros((len(SHORT), 2), np.int16)
    stereo[: 16 * 4_000, 0], stereo[16 * 4_000 :, 1] = SHORT[: 16 * 4_000], SHORT[16 * 4_000 :]
    path = tmp_path / "call.wav"
    soundfile.write(path, stereo, 16_000)
    return path


async def test_both_channels_of_a_call_are_named(server_address: str, call: Path) -> None:
    arguments = ("stream", call, "--server", server_address, "--speed", "0", "--channel")
    done = await run_cli(*arguments, "0", "--channel", "1")
    rows = [line.split() for line in done.out.splitlines() if line.startswith("  ")]
    assert [row[:3] for row in rows] == [["1", "channel", "0"], ["2", "channel", "1"]]
    one = await run_cli(*arguments, "1")
    (row,) = [line for line in one.out.splitlines() if line.startswith("  ")]
    assert "channel" not in row
    missing = await run_cli(*arguments, "0", "--channel", "2")
    assert (missing.status, missing.out) == (2, "")
    assert "--channel is 2, the limit is 0..1" in missing.err


async def test_provisional_lines_come_before_the_final_that_they_foretell(
    server_address: str, short: Path
) -> None:
    arguments = ("stream", short, "--server", server_address, "--speed", "8", "--provisional")
    done = await run_cli(*arguments, "500")
    marks = [line.split()[0] for line in done.out.splitlines() if line.startswith("  ")]
    assert marks[0] == "~"
    assert marks[-1] == "2"
    assert marks.count("~") >= 2
    refused = await run_cli(*arguments, "100")
    assert (refused.status, refused.err.count("\n")) == (1, 1)
    assert "provisional_interval_ms" in refused.err


async def on_a_terminal(*arguments: str) -> tuple[int, str]:
    """Status and screen of a command on a terminal of its own."""
    terminal, inside = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "affectstream.cli", *arguments),
        stdin=inside,
        stdout=inside,
        stderr=inside,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "120", "LINES": "30"},
    )
    os.close(inside)
    screen = await asyncio.to_thread(_read_all, terminal)
    return await process.wait(), screen.decode()


def _read_all(terminal: int) -> bytes:
    screen = b""
    try:
        while data := os.read(terminal, 65_536):
            screen += data
    except OSError:
        pass  # the terminal goes away with its command
    os.close(terminal)
    return screen


async def test_a_terminal_gets_a_live_table(server_address: str, short: Path) -> None:
    status, screen = await on_a_terminal("stream", str(short), "--server", server_address, "--speed", "8")
    assert status == 0
    last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).rpartition("short.wav → ")[2]
    assert len(re.findall(r"^ +\d +0:0\d\.\d\d-0:0\d\.\d\d .* \d+ ms ", last, re.MULTILINE)) == 2
    assert "closed: END_OF_AUDIO" in last
    assert "0:07.2 / 0:07.2" in last
    assert "speech" in screen
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h"), "the cursor is back"


async def test_a_terminal_shows_how_it_sounds_so_far(server_address: str, call: Path) -> None:
    arguments = ("--speed", "4", "--provisional", "300", "--channel", "0", "--channel", "1")
    status, screen = await on_a_terminal("stream", str(call), "--server", server_address, *arguments)
    assert status == 0
    before, _, last = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen).rpartition("call.wav → ")
    assert re.search(r"~ +0 +0:00\.\d\d-0:0\d\.\d\d .* so far", before)
    assert re.search(r"~ +1 +0:04\.\d\d-0:0\d\.\d\d .* so far", before)
    assert "so far" not in last
    assert re.search(r" 1 +0 +0:00", last)
    assert re.search(r" 2 +1 +0:04", last)


async def test_ctrl_c_ends_the_audio_and_waits_for_the_finals(server_address: str) -> None:
    process = await start_cli("stream", SAMPLE_TALK, "--server", server_address, "--format", "jsonl")
    assert process.stdout is not None
    seen: list[pb.SessionEvent] = []
    while not (seen and seen[-1].HasField("speech_started")):
        seen.append(Parse(await asyncio.wait_for(process.stdout.readline(), 30), pb.SessionEvent()))
    process.send_signal(signal.SIGINT)
    done = await finish(process)
    assert (done.status, done.err) == (0, "")
    assert [final.trigger for final in done.finals] == [pb.TRIGGER_END_OF_AUDIO]
    assert done.finals[0].utterance_id == seen[-1].speech_started.utterance_id
    assert done.events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


async def test_ctrl_c_ends_raw_input_that_waits(server_address: str) -> None:
    arguments = ("stream", "-", "--rate", "16000", "--server", server_address, "--format", "jsonl")
    process = await start_cli(*arguments, stdin=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    await asyncio.wait_for(process.stdout.readline(), 30)
    process.send_signal(signal.SIGINT)
    await asyncio.wait_for(process.wait(), 30)
    done = await finish(process)
    assert (done.status, done.err) == (0, "")
    assert done.events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO


async def cut_once(proxy: FaultProxy, process: asyncio.subprocess.Process) -> list[str]:
    """Cut the line of a command at its first final; gives the lines of output until then."""
    lines: list[str] = []
    assert process.stdout is not None
    while not any("affect" in line for line in lines):
        lines.append((await asyncio.wait_for(process.stdout.readline(), 30)).decode())
    assert proxy.cut() == 1
    return lines


async def test_a_line_that_is_cut_is_made_again_and_told_on_standard_error(server_address: str) -> None:
    async with FaultProxy(server_address) as proxy:
        arguments = ("stream", SAMPLE_TALK, "--server", proxy.address, "--format", "jsonl", "--speed", "8")
        process = await start_cli(*arguments)
        lines = await cut_once(proxy, process)
        rest = await finish(process)
    done = Done(rest.status, "".join(lines) + rest.out, rest.err)
    assert done.status == 0
    raw = finals(await stream_talk(server_address, TALK))
    assert bounds_s(done) == [(seconds(final.audio_start), seconds(final.audio_end)) for final in raw]
    assert sorted(event.sequence for event in done.events) == list(range(1, len(done.events) + 1))
    lost, resumed = done.err.splitlines()
    assert re.fullmatch(r"affectstream stream: .+; attempt 1 in 0\.\d s", lost)
    assert re.fullmatch(r"affectstream stream: the session goes on after 0\.\d s", resumed)


async def test_without_reconnecting_a_cut_line_ends_the_command(server_address: str) -> None:
    async with FaultProxy(server_address) as proxy:
        arguments = ("--format", "jsonl", "--speed", "8", "--no-reconnect")
        process = await start_cli("stream", SAMPLE_TALK, "--server", proxy.address, *arguments)
        await cut_once(proxy, process)
        done = await finish(process)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "connection to the server was lost" in done.err


async def test_a_recording_with_nan_is_refused_by_name(server_address: str, tmp_path: Path) -> None:
    samples = np.zeros(16_000, np.float32)
    samples[8_000] = np.nan
    soundfile.write(tmp_path / "nan.wav", samples, 16_000, subtype="FLOAT")
    done = await run_cli("stream", tmp_path / "nan.wav", "--server", server_address, "--speed", "0")
    assert done.status == 1
    assert done.err.startswith("affectstream stream: audio.data: got nan")
    assert done.err.count("\n") == 1


async def test_a_damaged_recording_is_an_input_error(server_address: str, tmp_path: Path) -> None:
    content = bytearray(SAMPLE_TALK.read_bytes())
    content[300_000:310_000] = bytes(10_000)
    (tmp_path / "torn.flac").write_bytes(content)
    done = await run_cli("stream", tmp_path / "torn.flac", "--server", server_address, "--speed", "0")
    assert done.status == 2
    assert "torn.flac is damaged at" in done.err
    assert done.err.count("\n") == 1


async def test_an_unknown_model_is_refused_in_one_line(server_address: str, short: Path) -> None:
    done = await run_cli("stream", short, "--server", server_address, "--model", "nonsuch")
    assert done.status == 1
    assert "config.model" in done.err
    assert "affect-embedded" in done.err
    assert done.err.count("\n") == 1


async def test_a_server_that_requires_consent_gets_its_basis(short: Path) -> None:
    async with running_server({"consent": {"required": True}}) as server:
        to = ("--server", server.address)
        refused = await run_cli("stream", short, *to, "--speed", "0")
        streamed = await run_cli("stream", short, *to, "--speed", "0", "--consent-basis", "not-personal")
        analyzed = await run_cli("analyze", short, *to, "--consent-basis", "legitimate-interest")
    assert refused.status == 1
    assert "config.consent_basis: got none, this server needs one of CONSENT, CONTRACT, " in refused.err
    assert (streamed.status, streamed.err) == (0, "")
    assert analyzed.status == 0


async def test_session_id_and_language_are_passed_on(server_address: str, short: Path) -> None:
    done = await run_cli(
        *("stream", short, "--server", server_address, "--speed", "0", "--format", "jsonl"),
        *("--session-id", "call-7", "--language", "de-DE", "--frame-ms", "100"),
    )
    assert {event.session_id for event in done.events} == {"call-7"}


async def test_a_reader_that_leaves_ends_the_command_quietly(server_address: str) -> None:
    process = await start_cli("stream", SAMPLE_TALK, "--server", server_address, "--format", "jsonl")
    assert process.stdout is not None
    await process.stdout.readline()
    process.stdout._transport.close()  # type: ignore[attr-defined]
    assert process.stderr is not None
    said = await asyncio.wait_for(process.stderr.read(), 30)
    assert await process.wait() == 1
    assert said == b""


async def test_info_of_a_server(server_address: str) -> None:
    table, as_json = await asyncio.gather(
        run_cli("info", "--server", server_address),
        run_cli("info", "--server", server_address, "--format", "json"),
    )
    assert "neutral, happy, sad, angry" in table.out
    assert "65,536 bytes" in table.out
    described = json.loads(as_json.out)
    assert described["models"][0]["labels"] == ["neutral", "happy", "sad", "angry"]
    assert "FEATURE_STREAM" in described["features"]
