"""`affectstream analyze` and `AffectClient.analyze` against a real server."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import pty
import signal
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from affectstream import (
    AffectClient,
    AffectEvent,
    AffectStatus,
    AudioEncoding,
    AudioFormat,
    InvalidRequest,
    SessionSummary,
    StreamConfig,
    events,
)
from affectstream.contract import LIMITS
from affectstream.errors import ConnectError
from tests.support.opus import ogg_opus
from tests.support.speech import sample_talk
from tests.support.wire import running_server
from tests.wire.client.helpers import finish, run_cli, start_cli

TALK = sample_talk()
ONE = TALK[8_000:56_000]
TWO = TALK[70_000:107_000]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four recordings that can be scored and three files that cannot, in a tree."""
    root = tmp_path / "calls"
    (root / "deep" / "er").mkdir(parents=True)
    (root / ".hidden").mkdir()
    soundfile.write(root / "a.wav", ONE, 16_000)
    soundfile.write(root / "b.flac", TWO, 16_000)
    (root / "deep" / "c.opus").write_bytes(ogg_opus(ONE))
    stereo = np.stack([np.zeros_like(TWO), TWO], axis=1)
    floats = (stereo / 32_768).astype(np.float32)
    soundfile.write(root / "deep" / "er" / "d, with a comma.WAV", floats, 16_000, subtype="FLOAT")
    soundfile.write(root / "deep" / "long.wav", np.tile(ONE, 12), 16_000)
    (root / "deep" / "torn.wav").write_bytes(b"RIFF and nothing more")
    (root / "notes.txt").write_text("no recording")
    soundfile.write(root / ".hidden" / "e.wav", ONE, 16_000)
    return root


def table(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


async def test_a_folder_gives_one_row_a_file_with_its_values_or_its_error(
    server_address: str, folder: Path
) -> None:
    done = await run_cli("analyze", folder, "--server", server_address)
    rows = {Path(row["file"]).name: row for row in table(done.out)}
    assert list(rows) == ["a.wav", "b.flac", "c.opus", "d, with a comma.WAV", "long.wav", "torn.wav"]
    assert done.status == 1
    assert "6 files" in done.err
    for name in ("a.wav", "b.flac", "c.opus"):
        row = rows[name]
        assert row["status"] in {"OK", "ABSTAINED"}
        assert sum(float(value) for key, value in row.items() if key.startswith("p_")) == pytest.approx(
            1, abs=1e-4
        )
        assert row[f"p_{row['top_label']}"] == row["top_probability"]
        assert 0 <= float(row["arousal"]) <= 1
        assert (row["error"], row["model"].split()[0]) == ("", "affect-embedded")
    assert rows["a.wav"]["duration_s"] == rows["c.opus"]["duration_s"] == "3.000"
    assert "--channel 0..1" in rows["d, with a comma.WAV"]["error"]
    assert "36.0 s long, the limit for one utterance is 30 s" in rows["long.wav"]["error"]
    assert f"affectstream stream {folder / 'deep' / 'long.wav'}" in rows["long.wav"]["error"]
    assert "not a recording" in rows["torn.wav"]["error"]


async def test_cues_and_spans_are_columns_where_they_are_asked_for(folder: Path) -> None:
    outputs = {"outputs": {"cues_wait_ms": 5_000, "saliency_wait_ms": 5_000}}
    async with running_server(outputs) as server:
        arguments = ("analyze", folder / "a.wav", folder / "b.flac", "--server", server.address)
        done = await run_cli(*arguments, "--cues", "--saliency")
        (bare, _) = table((await run_cli(*arguments)).out)
    assert done.status == 0
    for row in table(done.out):
        assert 60 < float(row["cue_pitch_median"]) < 600
        assert -96 < float(row["cue_energy_mean"]) < 0
        assert row["salient"].endswith(" s")
    assert not any(column.startswith("cue_") or column == "salient" for column in bare)


async def test_json_lines_hold_the_event_and_one_channel_is_chosen(server_address: str, folder: Path) -> None:
    stereo = folder / "deep" / "er" / "d, with a comma.WAV"
    out = folder / "rows.jsonl"
    done = await run_cli(
        *("analyze", stereo, folder / "b.flac", stereo, "--server", server_address),
        *("--format", "jsonl", "--out", out, "--channel", "1"),
    )
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == [stereo.name, "b.flac"], "each file once"
    assert (done.status, done.out) == (1, "")
    assert "--channel is 1, the limit is 0..0" in rows[1]["error"]
    event = rows[0]["event"]
    assert (event["stage"], event["audioEnd"]) == ("STAGE_FINAL", "2.312500s")
    async with AffectClient(server_address) as client:
        alone = await client.analyze(TWO)
    assert event["topLabel"] == alone.top_label
    assert [e["probability"] for e in event["emotions"]] == pytest.approx(
        [e.probability for e in alone.emotions], abs=1e-5
    )


async def test_every_file_good_is_status_zero(server_address: str, folder: Path) -> None:
    done = await run_cli("analyze", folder / "a.wav", folder / "b.flac", "--server", server_address)
    assert (done.status, len(table(done.out))) == (0, 2)


async def test_resume_keeps_what_is_done_and_tries_the_rest_again(
    server_address: str, folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "rows.csv"
    first = await run_cli(
        "analyze", folder / "a.wav", folder / "deep", "--server", server_address, "--out", out
    )
    assert first.status == 1
    with out.open("a") as file:
        file.write(f"{folder / 'b.flac'},OK,2.3")  # as a run leaves it that is killed in a row
    (folder / "deep" / "torn.wav").write_bytes((folder / "a.wav").read_bytes())
    (folder / "deep" / "long.wav").unlink()
    again = await run_cli(
        *("analyze", folder, "--server", server_address, "--out", out, "--resume", "--channel", "0"),
    )
    rows = table(out.read_text())
    assert sorted(Path(row["file"]).name for row in rows) == [
        "a.wav",
        "b.flac",
        "c.opus",
        "d, with a comma.WAV",
        "torn.wav",
    ]
    assert {row["error"] for row in rows} == {""}
    assert again.status == 0
    assert "2 done before" in again.err
    third = await run_cli(
        *("analyze", folder, "--server", server_address, "--out", out, "--resume", "--channel", "0"),
    )
    assert (third.status, table(out.read_text())) == (0, rows)
    assert "nothing to do" in third.err


async def test_a_run_that_is_interrupted_leaves_whole_rows(server_address: str, tmp_path: Path) -> None:
    many = tmp_path / "many"
    many.mkdir()
    for number in range(400):
        soundfile.write(many / f"{number:04}.wav", np.roll(ONE, number), 16_000)
    out = tmp_path / "rows.jsonl"
    arguments = (
        "analyze",
        many,
        "--server",
        server_address,
        "--format",
        "jsonl",
        "--out",
        out,
        "--jobs",
        "1",
    )
    process = await start_cli(*arguments)
    while not (out.exists() and out.stat().st_size > 1_000):
        await asyncio.sleep(0.01)
    process.send_signal(signal.SIGINT)
    assert (await finish(process)).status == 130
    before = out.read_text().splitlines()
    assert 0 < len(before) < 400
    done = await run_cli(*arguments, "--resume", "--jobs", "2")
    assert done.status == 0
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [Path(row["file"]).name for row in rows] == [f"{number:04}.wav" for number in range(400)]
    assert out.read_text().splitlines()[: len(before)] == before


async def test_a_server_that_goes_away_ends_the_run_where_it_can_be_gone_on_with(
    folder: Path, tmp_path: Path
) -> None:
    for number in range(200):
        soundfile.write(folder / "deep" / f"{number:03}.wav", np.roll(ONE, number), 16_000)
    out = tmp_path / "rows.csv"
    async with running_server() as server:
        process = await start_cli("analyze", folder / "deep", "--server", server.address, "--out", out)
        while not (out.exists() and out.stat().st_size > 5_000):
            await asyncio.sleep(0.01)
    done = await finish(process)
    assert done.status == 1
    assert done.err.endswith("affectstream analyze: go on with --resume\n")
    rows = table(out.read_text())
    assert 0 < len(rows) < 200
    assert {row["error"] for row in rows} == {""}, "what the server could not answer has no row"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{folder}/nonsuch.wav"], "no such file or folder"),
        (["{folder}/empty"], "holds no recordings"),
        (["{folder}/a.wav", "--resume"], "--resume needs --out"),
        (["{folder}/a.wav", "--out", "{folder}/notes.txt"], "exists; go on with it by --resume"),
        (["{folder}/a.wav", "--out", "{folder}/notes.txt", "--resume"], "cannot go on with"),
        (["{folder}/a.wav", "--out", "{folder}/nowhere/rows.csv"], "no such file or directory"),
    ],
)
async def test_wrong_usage_is_said_in_one_line_and_touches_nothing(
    server_address: str, folder: Path, arguments: list[str], says: str
) -> None:
    (folder / "empty").mkdir()
    named = [argument.format(folder=folder) for argument in arguments]
    done = await run_cli("analyze", *named, "--server", server_address)
    assert (done.status, done.out) == (2, "")
    assert says in done.err
    assert done.err.count("\n") == 1
    assert (folder / "notes.txt").read_text() == "no recording"


async def test_no_server_is_said_and_makes_no_file(folder: Path, tmp_path: Path) -> None:
    done = await run_cli("analyze", folder, "--server", "127.0.0.1:1", "--out", tmp_path / "rows.csv")
    assert done.status == 1
    assert "no server at 127.0.0.1:1" in done.err
    assert "affectstream serve" in done.err
    assert not (tmp_path / "rows.csv").exists()


async def test_a_full_server_is_waited_for(folder: Path) -> None:
    async with running_server({"server": {"max_analyses": 1}}) as server:
        files = [folder / "a.wav", folder / "b.flac", folder / "deep" / "c.opus"]
        done = await run_cli("analyze", *files, "--server", server.address, "--jobs", "3")
    assert done.status == 0
    assert {row["error"] for row in table(done.out)} == {""}


async def test_a_terminal_shows_how_far_it_is(server_address: str, folder: Path, tmp_path: Path) -> None:
    terminal, inside = pty.openpty()
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "affectstream.cli", "analyze", str(folder), "--server", server_address),
        *("--out", str(tmp_path / "rows.csv")),
        stderr=inside,
        env=os.environ | {"TERM": "xterm-256color", "COLUMNS": "100"},
    )
    os.close(inside)
    await asyncio.wait_for(process.wait(), 30)
    screen = os.read(terminal, 65_536).decode()
    os.close(terminal)
    assert "6/6" in screen


async def test_the_client_gives_a_typed_event(server_address: str) -> None:
    async with AffectClient(server_address) as client:
        event = await client.analyze(ONE, utterance_id="mine", embedding=True, language_code="de")
        opus = AudioFormat(encoding=AudioEncoding.OGG_OPUS, sample_rate_hz=48_000)
        coded = await client.analyze(ogg_opus(ONE), opus)
        short = await client.analyze(ONE[:1_600])
    assert (event.utterance_id, event.is_final, event.duration.seconds) == ("mine", True, 3.0)
    assert event.model is not None
    assert len(event.embedding) == event.model.embedding_size
    assert event.timing is not None
    assert event.timing.hangover_ms is None
    assert coded.duration == event.duration
    assert (short.status, short.emotions) == (AffectStatus.INSUFFICIENT_SPEECH, ())


@pytest.mark.parametrize("size", [None, 500])
async def test_ogg_opus_may_be_sent_in_any_pieces(server_address: str, size: int | None) -> None:
    ogg = ogg_opus(TALK[: 16_000 * 12])
    config = StreamConfig(audio=AudioFormat(encoding=AudioEncoding.OGG_OPUS, sample_rate_hz=48_000))
    step = size or len(ogg)
    async with AffectClient(server_address) as client, client.stream(config) as stream:
        for start in range(0, len(ogg), step):
            await stream.send(ogg[start : start + step])
        await stream.end()
        heard = [event async for event in stream]
    assert sum(isinstance(event, AffectEvent) for event in heard) >= 3
    assert not any(isinstance(event, events.Warning) for event in heard)
    summaries = [event for event in heard if isinstance(event, SessionSummary)]
    assert [summary.audio.seconds for summary in summaries if summary.audio] == [12.0]


async def test_the_client_says_what_is_wrong(server_address: str) -> None:
    stereo = AudioFormat(channel_count=2)
    async with AffectClient(server_address) as client:
        calls: dict[str, Any] = {
            "audio.data": client.analyze(b"odd"),
            "data": client.analyze(bytes(LIMITS.analyze_bytes)),
            "channel": client.analyze(ONE.repeat(2), stereo),
        }
        for field, call in calls.items():
            with pytest.raises(InvalidRequest) as caught:
                await call
            assert caught.value.field == field
            assert caught.value.limit
    async with AffectClient("127.0.0.1:1") as client:
        with pytest.raises(ConnectError):
            await client.analyze(ONE)
