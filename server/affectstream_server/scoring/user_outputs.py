"""Outputs that users taught: probes on the embedding, each good for the one model it was learnt on."""

from __future__ import annotations

import hashlib
import json
import logging
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.contract import LIMITS
from affectstream_server.scoring.scorer import ModelInfo, Score, UserAnswer, softmax
from affectstream_server.section import SettingsError

_log = logging.getLogger(__name__)

_KEY: Final = "scoring.user_outputs"
_FORMAT: Final = "affectstream-user-output-1"
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_MOST_BYTES: Final = 8 * 1024 * 1024
_MOST_LABELS: Final = 32


@dataclass(frozen=True, slots=True)
class UserOutput:
    """What one file holds."""

    name: str
    labels: tuple[str, ...]
    clips: int
    """It was taught with."""
    uar: float
    """Mean recall over its labels in cross-validation, 0..1."""
    better_than_chance: bool
    model_name: str
    model_digest: str
    digest: str
    """SHA-256 of its file."""
    weights: NDArray[np.float32]
    """``[labels, embedding]``"""
    bias: NDArray[np.float32]
    """``[labels]``"""

    def answer(self, embedding: NDArray[np.float32]) -> UserAnswer:
        """What it says of an utterance."""
        return UserAnswer(self.name, self.labels, softmax(self.weights @ embedding + self.bias))


class UserOutputs:
    """Those of this server. Without any it costs nothing."""

    def __init__(self, outputs: Sequence[UserOutput] = ()) -> None:
        self._of_model: dict[str, list[UserOutput]] = {}
        for output in outputs:
            self._of_model.setdefault(output.model_digest, []).append(output)
        self._unmatched: frozenset[str] = frozenset()

    def __bool__(self) -> bool:
        return bool(self._of_model)

    def of(self, models: Collection[ModelInfo]) -> tuple[UserOutput, ...]:
        """Those that belong to one of the models."""
        digests = dict.fromkeys(model.digest for model in models)
        return tuple(
            output
            for digest in digests
            for output in self._of_model.get(digest, ())
            if any(_fits(output, model) for model in models)
        )

    def check(self, models: Collection[ModelInfo]) -> None:
        """Refuse what belongs to none of the models. Raises `SettingsError`."""
        for output in self._without(models):
            raise SettingsError(f"{_KEY}: {_misfit(output, models)}")

    def look(self, models: Collection[ModelInfo]) -> None:
        """As `check`, where models come and go: say once in the log what has no model now."""
        without = self._without(models)
        names = frozenset(output.name for output in without)
        if models and names != self._unmatched:
            self._unmatched = names
            for output in without:
                _log.warning("%s: %s; it is not served", _KEY, _misfit(output, models))

    def add_to(self, score: Score) -> Score:
        """The score with what they say of it."""
        mine = self._of_model.get(score.model.digest)
        if not mine:
            return score
        answers = tuple(output.answer(score.embedding) for output in mine if _fits(output, score.model))
        return replace(score, user_answers=answers)

    def _without(self, models: Collection[ModelInfo]) -> list[UserOutput]:
        return [
            output
            for outputs in self._of_model.values()
            for output in outputs
            if not any(_fits(output, model) for model in models)
        ]


def read_user_outputs(paths: Sequence[str]) -> UserOutputs:
    """The files that settings name. Raises `SettingsError`, which names the file and what is wrong."""
    outputs: dict[str, UserOutput] = {}
    for path in paths:
        output = _read(Path(path))
        if output.name in outputs:
            raise SettingsError(f"{_KEY}: {path}: the name {output.name!r} is another file's already")
        if not output.better_than_chance:
            _log.warning(
                "%s: %s is not surely better than chance (mean recall %.2f)", _KEY, output.name, output.uar
            )
        outputs[output.name] = output
    return UserOutputs(tuple(outputs.values()))


def _fits(output: UserOutput, model: ModelInfo) -> bool:
    return model.digest == output.model_digest and model.embedding_size == output.weights.shape[1]


def _misfit(output: UserOutput, models: Collection[ModelInfo]) -> str:
    served = ", ".join(f"{model.name} {model.digest[:12] or 'without a digest'}…" for model in models)
    return (
        f"{output.name} was taught on {output.model_name} (sha256 {output.model_digest[:12]}…), "
        f"and this server has {served}; teach it anew with `affectstream-models probe`"
    )


def _read(path: Path) -> UserOutput:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise SettingsError(f"{_KEY}: {path}: {path.stat().st_size} bytes, at most {_MOST_BYTES}")
        data = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"{_KEY}: {path}: cannot be read: {error.strerror}") from None
    try:
        return _checked(json.loads(data), hashlib.sha256(data).hexdigest())
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise SettingsError(f"{_KEY}: {path}: {_reason(error)}") from None


def _reason(error: Exception) -> str:
    match error:
        case json.JSONDecodeError() | UnicodeDecodeError() | RecursionError():
            return "not JSON"
        case KeyError():
            return f"lacks {error.args[0]}"
        case _:
            return str(error)


def _checked(said: Any, digest: str) -> UserOutput:
    """Raises `ValueError`, `TypeError` or `KeyError` for what it should not say."""
    if not isinstance(said, dict) or said.get("format") != _FORMAT:
        raise ValueError(f"not of `affectstream-models probe`: format is not {_FORMAT}")
    name, labels = said["name"], said["labels"]
    if not isinstance(name, str) or not _NAME.fullmatch(name):
        raise ValueError("name: expected 1 to 64 of a-z 0-9 _ -")
    if not isinstance(labels, list) or not 2 <= len(labels) <= _MOST_LABELS or len(set(labels)) < len(labels):
        raise ValueError(f"labels: expected 2 to {_MOST_LABELS} different ones")
    for label in labels:
        if not isinstance(label, str) or not 1 <= len(label.encode()) <= LIMITS.label_bytes:
            raise ValueError(f"labels: expected 1 to {LIMITS.label_bytes} bytes each")
    weights, bias = np.array(said["weights"], np.float32), np.array(said["bias"], np.float32)
    if weights.ndim != 2 or len(weights) != len(labels) or bias.shape != (len(labels),):
        raise ValueError(
            f"weights: got {list(weights.shape)} and bias {list(bias.shape)} for {len(labels)} labels"
        )
    if not (np.isfinite(weights).all() and np.isfinite(bias).all()):
        raise ValueError("weights: some are not finite")
    validation = said["cross_validation"]
    uar, low, chance = (float(validation[key]) for key in ("uar", "low", "chance"))
    if not 0 <= uar <= 1:
        raise ValueError(f"cross_validation.uar: got {uar}, expected 0 to 1")
    return UserOutput(
        name=name,
        labels=tuple(labels),
        clips=int(said["clips"]),
        uar=uar,
        better_than_chance=low > chance,
        model_name=str(said["model"]["name"]),
        model_digest=str(said["model"]["sha256"]),
        digest=digest,
        weights=weights,
        bias=bias,
    )
