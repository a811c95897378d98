"""Rows of VAD without a network: real processes for a moment, and their figures by hand."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from bench.talks import find
from bench.vad import rows
from bench.vad.__main__ import main, parser
from bench.vad.__main__ import rows as chosen
from bench.vad.figures import figures
from bench.vad.row import Result
from bench.vad.rows import RowFailed, VadRow, run

TALK = find(environ={}).paths


@pytest.mark.parametrize("name", ["ours", "ours-stages", "plain"])
async def test_a_row_hears_what_is_due_in_its_window(name: str) -> None:
    result = await run(VadRow(name, 4, seconds=2.0, wakes=2), TALK, None)
    assert result is not None
    assert result.audio_s == pytest.approx(8.0)
    assert 0 < result.cpu_s < 5
    assert result.rss_kib > 10_000
    assert result.late_ms_p99 < 5_000
    assert (result.utterances > 0) == (name != "plain")


async def test_the_batched_loop_hears_all_streams_each_tick() -> None:
    result = await run(VadRow("batched", 4, seconds=2.0), TALK, None)
    assert result is not None
    assert result.audio_s == pytest.approx(8.0, abs=4 * 0.032)


@pytest.mark.parametrize("name", ["livekit-silero", "livekit-built-in", "pipecat"])
async def test_peers_find_utterances_too(name: str) -> None:
    result = await run(VadRow(name, 6, seconds=3.0, warmup_s=1.0), TALK, None)
    if result is None:
        pytest.skip("not installed: make .venv-integrations/.ready")
    assert result.utterances > 0
    assert result.audio_s == pytest.approx(18.0)


async def test_a_peer_that_is_not_installed_is_no_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "_PEERS_PYTHON", tmp_path / "none")
    row = VadRow("pipecat", 1)
    assert await run(row, TALK, None) is None
    monkeypatch.setattr(rows, "_PEERS_PYTHON", Path(sys.executable))  # which has no Pipecat
    assert await run(row, TALK, None) is None
    (figure,) = figures({row: [None, None]})
    assert figure["installed"] is False
    assert "cpu_s_per_audio_hour" not in figure


async def test_a_row_that_fails_is_told_with_its_reason(tmp_path: Path) -> None:
    short = tmp_path / "short.wav"
    soundfile.write(short, np.zeros(10, np.int16), 16_000)
    with pytest.raises(RowFailed, match=r"vad plain 1: ended with code 1\n(.*\n)*.*Error"):
        await run(VadRow("plain", 1, seconds=2.0), [short], None)


def test_ratios_are_to_the_batched_loop_of_the_same_streams_and_round() -> None:
    def took(*cpu_s: float) -> list[Result | None]:
        return [Result(one, 360.0, 1_024.0, 1.0, 3) for one in cpu_s]

    found = figures(
        {
            VadRow("ours", 20): took(2.0, 3.0),
            VadRow("batched", 100): took(9.0, 9.0),
            VadRow("batched", 20): took(1.0, 2.0),
            VadRow("plain", 10): took(1.0),
        }
    )
    by_name = {one["name"]: one for one in found}
    assert by_name["vad ours 20"]["ratio_to_batched"]["runs"] == [2.0, 1.5]
    assert by_name["vad ours 20"]["cpu_s_per_audio_hour"]["median"] == 25.0
    assert by_name["vad ours 20"]["utterances"] == 6
    assert by_name["vad batched 20"]["ratio_to_batched"] is None
    assert by_name["vad plain 10"]["ratio_to_batched"] is None


def test_options_choose_rows() -> None:
    def names(*options: str) -> list[str]:
        return [one.name for one in chosen(parser().parse_args(options))]

    assert names("--rows", "ours") == ["vad ours 100", "vad ours 20"]
    assert names("--rows", "ours", "--streams", "5", "6") == ["vad ours 5", "vad ours 6"]


def test_audio_that_cannot_be_read_is_told(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = ["--rows", "batched", "--streams", "1", "--runs", "1", "--seconds", "0.5"]
    assert main([*options, "--audio", str(tmp_path / "none.wav"), "--output", str(tmp_path / "o.json")]) == 2
    assert "none.wav: cannot be read" in capsys.readouterr().err
