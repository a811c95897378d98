"""The bundled talk is what its recipe says."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
import soundfile

from tests.support.speech import SAMPLE_TALK
from tools.sample_talk import make

MARGIN_S = 0.01


@pytest.fixture(scope="module")
def truth() -> list[dict[str, str]]:
    with SAMPLE_TALK.with_suffix(".tsv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file, delimiter="\t"))


def test_the_truth_is_the_recipes_list(truth: list[dict[str, str]]) -> None:
    assert [row["text"] for row in truth] == [line.text for line in make.LINES]
    assert len(truth) >= 8


def test_pauses_and_length_are_the_recipes(truth: list[dict[str, str]]) -> None:
    bounds = [(float(row["start_s"]), float(row["end_s"])) for row in truth]
    assert bounds[0][0] == make.LEAD_S
    for (_, end_s), (start_s, _), line in zip(bounds[:-1], bounds[1:], make.LINES[:-1], strict=True):
        assert start_s - end_s == pytest.approx(line.pause_s, abs=0.002)
        assert 0.5 <= line.pause_s <= 2.0
    info = soundfile.info(SAMPLE_TALK)
    assert (info.samplerate, info.channels, info.subtype) == (make.RATE_HZ, 1, "PCM_16")
    assert info.frames / info.samplerate == pytest.approx(bounds[-1][1] + make.LINES[-1].pause_s, abs=0.002)


def test_speech_is_where_the_truth_says_at_the_recipes_level(truth: list[dict[str, str]]) -> None:
    samples, rate_hz = soundfile.read(SAMPLE_TALK)
    silent = np.ones(len(samples), bool)
    for row, line in zip(truth, make.LINES, strict=True):
        start, end = (round(float(row[name]) * rate_hz) for name in ("start_s", "end_s"))
        level = 10 * np.log10(np.mean(samples[start:end] ** 2))
        assert level == pytest.approx(line.level_dbfs, abs=0.2)
        margin = round(MARGIN_S * rate_hz)
        silent[start - margin : end + margin] = False
    noise = 10 * np.log10(np.mean(samples[silent] ** 2))
    assert noise == pytest.approx(make.NOISE_DBFS, abs=1.0)
    assert np.abs(samples).max() < 1.0


def test_it_is_varied_and_small() -> None:
    assert len({line.voice for line in make.LINES}) >= 2
    assert max(line.pitch for line in make.LINES) - min(line.pitch for line in make.LINES) >= 40
    rates = [line.words_per_minute for line in make.LINES]
    assert max(rates) - min(rates) >= 80
    assert SAMPLE_TALK.stat().st_size <= 700_000


@pytest.mark.skipif(not Path("/usr/bin/espeak-ng").exists(), reason="needs espeak-ng to speak")
def test_a_line_is_spoken_the_same_each_time(tmp_path: Path) -> None:
    line = make.LINES[3]
    first, second = make.speak(line, tmp_path), make.speak(line, tmp_path)
    assert np.array_equal(first, second)
    assert 1.0 < len(first) / make.RATE_HZ < 5.0
