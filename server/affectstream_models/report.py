"""An evaluation as Markdown, for people who decide whether to use a model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from affectstream_models.card import Abstention
from affectstream_models.judge import COVERAGES, Figures, Interval

PARTS = ("language", "speaker", "gender")
"""What a corpus is judged apart by, where it has several."""


@dataclass(frozen=True, slots=True)
class Group:
    """Figures of some clips under one condition."""

    corpus: str
    """Corpus and split."""
    condition: str
    subset: str
    """`all`, or one of `PARTS` and its value, such as `language de`."""
    figures: Figures


@dataclass(frozen=True, slots=True)
class Evaluation:
    """Everything that a report says."""

    model: str
    digest: str
    labels: Sequence[str]
    date: str
    command: str
    abstention: Abstention | None
    groups: Sequence[Group]
    skipped: int
    """Clips whose emotion the model has no label for."""

    def whole(self) -> list[Group]:
        """The groups that are not parts of others."""
        return [group for group in self.groups if group.subset == "all"]


def markdown(evaluation: Evaluation, pictures: Mapping[str, str]) -> str:
    """The report; `pictures` gives a file by its caption."""
    parts = [
        f"# {evaluation.model}, evaluated",
        f"{evaluation.date} · `{evaluation.command}` · sha256 of the model `{evaluation.digest[:16]}…`",
        f"Labels: {', '.join(evaluation.labels)}. {evaluation.skipped} clips of other emotions left out. "
        "Intervals are 95 %, by bootstrap over clips: clips of one speaker resemble each other, so that the "
        "truth may lie outside more often than that.",
        "## By corpus and condition",
        _overall(evaluation.whole()),
        "## Recall of each label",
        _recalls(evaluation.whole(), evaluation.labels),
        "## Errors among the most confident",
        _risks(evaluation.whole()),
    ]
    if evaluation.abstention is not None:
        parts += ["## Naming an emotion only above the thresholds", _abstained(evaluation)]
    if any(group.figures.ccc for group in evaluation.whole()):
        parts += ["## Dimensions against listeners (CCC)", _concordances(evaluation.whole())]
    for kind in PARTS:
        rows = [group for group in evaluation.groups if group.subset.startswith(kind)]
        if rows:
            parts += [f"## By {kind}", _subsets(rows)]
    parts += [f"## Pictures\n\n{_pictures(pictures)}"] if pictures else []
    return "\n\n".join(parts) + "\n"


def _overall(groups: Sequence[Group]) -> str:
    header = (
        "corpus",
        "condition",
        "clips",
        "UAR",
        "accuracy",
        "macro-F1",
        "confidence",
        "ECE",
        "arousal hi/lo",
    )
    rows = [
        (
            group.corpus,
            group.condition,
            str(group.figures.clips),
            f"{group.figures.uar:.3f} ({span(group.figures.uar_interval)})",
            f"{group.figures.accuracy:.3f}",
            f"{group.figures.macro_f1:.3f}",
            f"{group.figures.confidence:.3f}",
            f"{group.figures.ece:.3f} ({span(group.figures.ece_interval)})",
            or_dash(group.figures.arousal_halves),
        )
        for group in groups
    ]
    return table(header, rows)


def _recalls(groups: Sequence[Group], labels: Sequence[str]) -> str:
    rows = [
        (group.corpus, group.condition, *(or_dash(group.figures.recalls[label]) for label in labels))
        for group in groups
    ]
    return table(("corpus", "condition", *labels), rows)


def _risks(groups: Sequence[Group]) -> str:
    header = ("corpus", "condition", *(f"of {coverage:.0%}" for coverage in COVERAGES))
    return table(
        header,
        [
            (group.corpus, group.condition, *(f"{risk:.3f}" for risk in group.figures.risks.values()))
            for group in groups
        ],
    )


def _abstained(evaluation: Evaluation) -> str:
    if evaluation.abstention is None:
        return ""
    floors = ", ".join(
        f"{label} {floor:.2f}" if floor <= 1 else f"{label} never"
        for label, floor in evaluation.abstention.min_probability.items()
    )
    rows = [
        (
            group.corpus,
            group.condition,
            f"{group.figures.abstained.coverage:.3f}",
            or_dash(group.figures.abstained.accuracy),
        )
        for group in evaluation.whole()
        if group.figures.abstained is not None
    ]
    return f"Thresholds: {floors}.\n\n" + table(
        ("corpus", "condition", "named", "accuracy of the named"), rows
    )


def _concordances(groups: Sequence[Group]) -> str:
    rows = [
        (group.corpus, group.condition, name, f"{value:.3f}")
        for group in groups
        for name, value in group.figures.ccc.items()
    ]
    return table(("corpus", "condition", "dimension", "CCC"), rows)


def _subsets(groups: Sequence[Group]) -> str:
    rows = [
        (
            group.corpus,
            group.condition,
            group.subset.partition(" ")[2],
            str(group.figures.clips),
            f"{group.figures.uar:.3f}",
            f"{group.figures.accuracy:.3f}",
            f"{group.figures.ece:.3f}",
        )
        for group in groups
    ]
    return table(("corpus", "condition", "of", "clips", "UAR", "accuracy", "ECE"), rows)


def _pictures(pictures: Mapping[str, str]) -> str:
    return "\n\n".join(f"![{caption}]({file})" for caption, file in pictures.items())


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table; every row has a cell for each of the header's."""
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, ["---"] * len(header), *rows))


def span(interval: Interval) -> str:
    """An interval, for people."""
    return f"{interval[0]:.3f}-{interval[1]:.3f}"


def or_dash(value: float | None) -> str:
    """Three digits, or a dash where there is no value."""
    return "–" if value is None or math.isnan(value) else f"{value:.3f}"
