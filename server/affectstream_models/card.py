"""The card of a model: what it was made of, what it may be used for, how well it does, and its thresholds.

A card is `card.toml` beside `model.onnx`. This module needs the standard library only, so that a server
can read it.
"""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from affectstream_models.errors import ModelsError

CARD_FILE = "card.toml"
MODEL_FILE = "model.onnx"


@dataclass(frozen=True, slots=True)
class Calibration:
    """How logits became probabilities. The temperature is in the graph already: it is told, not applied."""

    temperature: float
    """For speech like that of training."""
    temperature_slope: float
    """What is added for speech unlike it: once for each time that its strangeness is that of training."""
    fitted_on: str


@dataclass(frozen=True, slots=True)
class Abstention:
    """When not to name an emotion. The probabilities are reported all the same."""

    min_probability: Mapping[str, float]
    """By label: below this, 0..1, the label is not named even if it is the likeliest. Above 1: never."""
    min_snr_db: float
    """Below this ratio of speech to background, in dB, no emotion is named."""
    min_speech_ms: int
    """With less speech than this, in ms, no emotion is named."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One figure that was measured, and how to measure it again."""

    what: str
    value: float
    on: str
    date: str
    command: str


@dataclass(frozen=True, slots=True)
class Card:
    """Everything that `card.toml` says."""

    name: str
    version: str
    summary: str
    labels: tuple[str, ...]
    dimensions: tuple[str, ...]
    sample_rate_hz: int
    max_samples: int
    seed: int
    licence: str
    data: tuple[str, ...]
    languages: tuple[str, ...]
    groups: tuple[str, ...]
    intended_use: tuple[str, ...]
    not_for: tuple[str, ...]
    weights_sha256: str
    """Digest of the graph's constants: see `affectstream_models.modelfile.weights_sha256`."""
    calibration: Calibration
    abstention: Abstention
    measured: tuple[Measurement, ...] = field(default=())

    def to_toml(self) -> str:
        """The text of `card.toml`: the same card gives the same bytes."""
        return _toml(asdict(self))

    def sha256(self) -> str:
        """Digest of the card's text, as the model file's metadata states it."""
        return hashlib.sha256(self.to_toml().encode()).hexdigest()


def read_card(folder: Path) -> Card:
    """The card in a model's folder."""
    path = folder / CARD_FILE
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelsError(f"cannot read {path}: {error.strerror}") from error
    except tomllib.TOMLDecodeError as error:
        raise ModelsError(f"{path} is not TOML: {error}") from error
    known = {item.name for item in fields(Card)}
    if unknown := set(content) - known:
        raise ModelsError(f"{path} has unknown keys: {', '.join(sorted(unknown))}")
    if missing := known - {"measured"} - set(content):
        raise ModelsError(f"{path} lacks {', '.join(sorted(missing))}")
    lists = {key: tuple(value) for key, value in content.items() if isinstance(value, list)}
    try:
        nested = {
            "calibration": Calibration(**content["calibration"]),
            "abstention": Abstention(**content["abstention"]),
            "measured": tuple(Measurement(**row) for row in content.get("measured", ())),
        }
    except TypeError as error:
        raise ModelsError(f"{path}: {error}") from error
    return Card(**{**content, **lists, **nested})


def _toml(content: Mapping[str, Any]) -> str:
    """Plain values first, then tables, then lists of tables, as TOML's grammar asks."""
    lines = [f"{key} = {_value(value)}" for key, value in content.items() if not _is_table(value)]
    for key, value in content.items():
        if isinstance(value, Mapping):
            lines += ["", f"[{key}]", *(f"{name} = {_value(item)}" for name, item in value.items())]
        elif _is_table(value):
            for row in value:
                lines += ["", f"[[{key}]]", *(f"{name} = {_value(item)}" for name, item in row.items())]
    return "\n".join(lines) + "\n"


def _is_table(value: object) -> bool:
    return isinstance(value, Mapping) or (
        isinstance(value, list | tuple) and bool(value) and all(isinstance(row, Mapping) for row in value)
    )


def _value(value: object) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{name} = {_value(item)}" for name, item in value.items()) + " }"
    if isinstance(value, list | tuple):
        if sum(len(str(item)) for item in value) < 80:
            return "[" + ", ".join(_value(item) for item in value) + "]"
        return "[\n" + "".join(f"  {_value(item)},\n" for item in value) + "]"
    # JSON's strings, numbers and booleans are TOML's too.
    return json.dumps(value, ensure_ascii=False)
