"""Cards survive the way to TOML and back, and refuse what they do not know."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from affectstream_models.card import Card, Measurement, read_card
from affectstream_models.errors import ModelsError
from tests.models.embedded.helpers import SHIPPED


@pytest.fixture
def card() -> Card:
    return read_card(SHIPPED)


def write(folder: Path, text: str) -> Path:
    (folder / "card.toml").write_text(text, encoding="utf-8")
    return folder


def test_round_trip(card: Card, tmp_path: Path) -> None:
    rows = (Measurement('a "quoted" \\ figure', 0.5, "µ, line\nbreak", "2026-01-02", "x --y"),) * 2
    odd = replace(card, summary='says "hm" \\ ü\n', measured=rows)
    assert read_card(write(tmp_path, odd.to_toml())) == odd


def test_text_is_toml_with_the_tables_that_the_server_reads(card: Card) -> None:
    content = tomllib.loads(card.to_toml())
    assert content["abstention"]["min_probability"].keys() == set(card.labels)
    assert content["calibration"]["temperature"] > 0
    assert content["name"] == card.name


def test_digest_changes_with_the_text(card: Card) -> None:
    assert replace(card, version="9").sha256() != card.sha256()


def test_a_card_without_figures_is_read(card: Card, tmp_path: Path) -> None:
    bare = replace(card, measured=())
    text = bare.to_toml().replace("measured = []\n", "")
    assert "measured =" not in text
    assert read_card(write(tmp_path, text)) == bare


def test_faults_are_named(card: Card, tmp_path: Path) -> None:
    with pytest.raises(ModelsError, match=r"cannot read .*card\.toml"):
        read_card(tmp_path)
    with pytest.raises(ModelsError, match="not TOML"):
        read_card(write(tmp_path, "name = "))
    with pytest.raises(ModelsError, match="unknown keys: colour"):
        read_card(write(tmp_path, "colour = 1\n" + card.to_toml()))
    with pytest.raises(ModelsError, match="lacks version"):
        read_card(write(tmp_path, card.to_toml().replace(f'version = "{card.version}"\n', "")))
    with pytest.raises(ModelsError, match="min_snr"):
        read_card(write(tmp_path, card.to_toml().replace("min_snr_db", "min_snr")))
