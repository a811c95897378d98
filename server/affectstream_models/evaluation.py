"""Clips heard under conditions, and figures of every group of them; over any `Predictor`."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from affectstream_models.card import Abstention
from affectstream_models.conditions import Condition, conditions
from affectstream_models.dataset import Clip, Waveform
from affectstream_models.judge import Told, judge
from affectstream_models.predictions import PredictionLog
from affectstream_models.predictor import Predictor
from affectstream_models.report import PARTS, Group

Item = TypeVar("Item")


@dataclass(frozen=True, slots=True)
class Material:
    """What is to be heard."""

    clips: Sequence[Clip]
    noises: Sequence[Waveform]
    conditions: Sequence[str]
    skipped: int = 0
    """Clips left out, as the model has no label for their emotion."""

    @property
    def trials(self) -> int:
        """How many predictions are asked for."""
        return len(self.clips) * len(self.conditions)


def hear(
    predictor: Predictor, material: Material, log_path: Path, advance: Callable[[], None] = lambda: None
) -> list[Told]:
    """Every clip under every condition; what the log at `log_path` holds already is not heard again."""
    heard = conditions(material.noises, material.conditions)
    return hear_under(predictor, material.clips, heard, log_path, advance)


def hear_under(
    predictor: Predictor,
    clips: Sequence[Clip],
    heard: Mapping[str, Condition],
    log_path: Path,
    advance: Callable[[], None] = lambda: None,
    *,
    version: str = "",
) -> list[Told]:
    """As `hear`, under conditions by name; another `version` of them begins the log anew."""
    depends_on = {"model": predictor.digest, "clips": _digest(clips)}
    depends_on |= {"conditions": version} if version else {}
    told = []
    with PredictionLog(log_path, depends_on) as log:
        for place, clip in enumerate(clips):
            waiting = [name for name in heard if (str(clip.path), name) not in log.done]
            waveform = clip.read() if waiting else None
            for name, condition in heard.items():
                key = (str(clip.path), name)
                if waveform is not None and name in waiting:
                    log.add(key, predictor.predict(condition(waveform, place)))
                told.append(Told(clip, name, log.done[key]))
                advance()
    return told


def group_by_group(
    told: Sequence[Told], predictor: Predictor, abstention: Abstention | None
) -> Iterator[Group]:
    """The whole of each corpus under each condition, then each part of it where it has several."""
    for corpus, condition in _in_order((_corpus(one), one.condition) for one in told):
        mine = [one for one in told if _corpus(one) == corpus and one.condition == condition]
        figures = judge(mine, predictor.labels, predictor.dimensions, abstention)
        yield Group(corpus, condition, "all", figures)
        for kind in PARTS:
            values = _in_order(getattr(one.clip, kind) for one in mine)
            for value in sorted(values) if len(values) > 1 else []:
                part = [one for one in mine if getattr(one.clip, kind) == value]
                figures = judge(part, predictor.labels, predictor.dimensions, abstention, resamples=100)
                yield Group(corpus, condition, f"{kind} {value}", figures)


def _corpus(told: Told) -> str:
    return f"{told.clip.corpus}/{told.clip.split}"


def _in_order(items: Iterable[Item]) -> list[Item]:
    return list(dict.fromkeys(items))


def _digest(clips: Sequence[Clip]) -> str:
    listed = "".join(f"{clip.path}\t{clip.emotion}\n" for clip in clips)
    return hashlib.sha256(listed.encode()).hexdigest()
