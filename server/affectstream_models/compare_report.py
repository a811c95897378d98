"""Tables of trainings that differ in their seed: every seed a row, and their mean."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from affectstream_models.card import Card
from affectstream_models.conditions import CLEAN
from affectstream_models.judge import COVERAGES, Figures
from affectstream_models.report import Group, or_dash, span, table

HALF = 0.5


@dataclass(frozen=True, slots=True)
class Trained:
    """One training and its figures: the home part under every condition, the away part clean."""

    card: Card
    home: str
    """CORPUS/SPLIT of the language and the studio of training."""
    away: str
    groups: Sequence[Group]

    def at(self, part: str, condition: str = CLEAN) -> Figures:
        """Figures of a part under a condition, which must be there."""
        return next(g.figures for g in self.groups if (g.corpus, g.condition) == (part, condition))

    @property
    def conditions(self) -> list[str]:
        """Of the home part."""
        return [group.condition for group in self.groups if group.corpus == self.home]


Cell = Callable[[Trained], float]


def tables(trained: Sequence[Trained]) -> str:
    """Markdown; at least one training."""
    return "\n\n".join(
        [_overall(trained), _recalls(trained), _risks(trained), _noise(trained), _named(trained)]
    )


def _overall(trained: Sequence[Trained]) -> str:
    home, away = trained[0].home, trained[0].away
    columns: dict[str, Cell] = {
        f"UAR, {home}": lambda one: one.at(home).uar,
        f"UAR, {away}": lambda one: one.at(away).uar,
        f"ECE, {home}": lambda one: one.at(home).ece,
        f"ECE, {away}": lambda one: one.at(away).ece,
        f"confident half right, {home}": lambda one: 1 - one.at(home).risks[HALF],
        f"arousal hi/lo, {home}": lambda one: one.at(home).arousal_halves or 0.0,
        f"arousal hi/lo, {away}": lambda one: one.at(away).arousal_halves or 0.0,
    }
    intervals = [
        (
            str(one.card.seed),
            *(span(i) for i in (f.uar_interval, a.uar_interval, f.ece_interval, a.ece_interval)),
        )
        for one in trained
        for f, a in [(one.at(home), one.at(away))]
    ]
    header = ("95 % intervals, seed", *list(columns)[:4])
    return _by_seed(trained, columns) + "\n\n" + table(header, intervals)


def _recalls(trained: Sequence[Trained]) -> str:
    columns: dict[str, Cell] = {
        f"{label}, {part}": (lambda one, part=part, label=label: one.at(part).recalls[label])  # type: ignore[misc]
        for part in (trained[0].home, trained[0].away)
        for label in trained[0].card.labels
    }
    return "Recall:\n\n" + _by_seed(trained, columns)


def _risks(trained: Sequence[Trained]) -> str:
    columns: dict[str, Cell] = {
        f"{coverage:.0%}, {part}": (lambda one, part=part, coverage=coverage: one.at(part).risks[coverage])  # type: ignore[misc]
        for part in (trained[0].home, trained[0].away)
        for coverage in COVERAGES
    }
    return "Share of errors among the most confident:\n\n" + _by_seed(trained, columns)


def _noise(trained: Sequence[Trained]) -> str:
    home = trained[0].home
    confidences: dict[str, Cell] = {
        name: (lambda one, name=name: one.at(home, name).confidence)  # type: ignore[misc]
        for name in trained[0].conditions
    }
    uars: dict[str, Cell] = {
        name: (lambda one, name=name: one.at(home, name).uar)  # type: ignore[misc]
        for name in trained[0].conditions
    }
    return (
        f"Mean confidence in noise, {home}:\n\n{_by_seed(trained, confidences)}\n\n"
        f"UAR in noise, {home}:\n\n{_by_seed(trained, uars)}"
    )


def _named(trained: Sequence[Trained]) -> str:
    rows = []
    for one in trained:
        never = [label for label, floor in one.card.abstention.min_probability.items() if floor > 1]
        found = [one.at(part).abstained for part in (one.home, one.away)]
        cells = [cell for kept in found if kept for cell in (f"{kept.coverage:.3f}", or_dash(kept.accuracy))]
        rows.append((str(one.card.seed), ", ".join(never) or "–", *cells))
    parts = (trained[0].home, trained[0].away)
    header = ("seed", "never named", *(f"{what}, {part}" for part in parts for what in ("named", "right")))
    return "Above the thresholds of the card:\n\n" + table(header, rows)


def _by_seed(trained: Sequence[Trained], columns: dict[str, Cell]) -> str:
    values = np.array([[cell(one) for cell in columns.values()] for one in trained])
    rows = [
        (str(one.card.seed), *(or_dash(value) for value in row))
        for one, row in zip(trained, values.tolist(), strict=True)
    ]
    return table(
        ("seed", *columns), [*rows, ("mean", *(or_dash(value) for value in values.mean(axis=0).tolist()))]
    )
