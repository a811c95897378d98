"""An audit as Markdown, for people who decide whether to use a model, and for whom."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from affectstream_models.gaps import Gap, Spread
from affectstream_models.report import or_dash, span, table
from affectstream_models.robustness import Drift


@dataclass(frozen=True, slots=True)
class Part:
    """What became of one corpus's clips."""

    where: str
    """Corpus and split."""
    drifts: Sequence[Drift]


@dataclass(frozen=True, slots=True)
class Audit:
    """Everything that a report says."""

    model: str
    digest: str
    labels: Sequence[str]
    date: str
    command: str
    parts: Sequence[Part]
    gaps: Sequence[Gap]
    spreads: Sequence[Spread]


def markdown(audit: Audit, pictures: Mapping[str, str]) -> str:
    """The report; `pictures` gives a file by its caption."""
    parts = [
        f"# {audit.model}, audited",
        f"{audit.date} · `{audit.command}` · sha256 of the model `{audit.digest[:16]}…`",
        f"Labels: {', '.join(audit.labels)}. Each clip is changed in one thing at a time.",
        *(f"![{caption}]({file})" for caption, file in pictures.items()),
        "## What moves the answer",
        "*flips*: share of clips whose likeliest label becomes another, with 95 % by bootstrap over clips. "
        "*acted on as another*: share where both labels were above the card's thresholds. *moved*: mean "
        "probability that went to other labels. Of dimensions the mean change, in brackets its mean size.",
        *(f"### {part.where}\n\n{_drifts(part.drifts)}" for part in audit.parts),
    ]
    if audit.gaps:
        parts += ["## Gaps between groups", _explained(audit.gaps)]
        parts += [f"### {_title(gap)}\n\n{_gap(gap)}" for gap in audit.gaps]
    if audit.spreads:
        parts += [
            "## Speakers apart",
            "*by chance*: what 95 % of spreads stay below when speakers are shuffled within each emotion.",
            _spreads(audit.spreads),
        ]
    return "\n\n".join(parts) + "\n"


def beyond_chance(gap: Gap) -> list[str]:
    """Figures whose interval leaves out 0."""
    return [
        name for name, (low, high) in gap.intervals.items() if not math.isnan(low) and not low <= 0 <= high
    ]


def _drifts(drifts: Sequence[Drift]) -> str:
    dimensions = list(drifts[0].dimensions)
    acted = drifts[0].acted_flips is not None
    named = ["acted on as another"] if acted else []
    header = ("perturbation", "flips", *named, "moved", "UAR", *dimensions)
    rows = [
        (
            one.perturbation,
            f"{one.flips:.3f} ({span(one.flips_interval)})",
            *([or_dash(one.acted_flips)] if acted else []),
            f"{one.moved:.3f}",
            f"{one.uar_change:+.3f}",
            *(f"{change:+.3f} ({size:.3f})" for change, size in one.dimensions.values()),
        )
        for one in drifts
    ]
    return table(header, rows)


def _explained(gaps: Sequence[Gap]) -> str:
    tested = sum(len(gap.difference) for gap in gaps)
    found = sum(len(beyond_chance(gap)) for gap in gaps)
    return (
        "Intervals are 95 %, by a bootstrap that draws speakers and then their clips. "
        f"{found} of {tested} differences leave out 0 (**bold**); were there none at all, about "
        f"{math.ceil(tested * 0.05)} would. ECE reads high on few clips; confidence − accuracy does not. A "
        "dimension's mean is taken over the emotions alike, so that the mix of clips does not show."
    )


def _title(gap: Gap) -> str:
    return f"{gap.of}: {gap.first.group} against {gap.second.group}, {gap.where}"


def _gap(gap: Gap) -> str:
    sure = beyond_chance(gap)
    header = (
        "",
        *(
            f"{side.group}: {side.clips} clips of {_count(side.speakers, 'speaker')}"
            for side in (gap.first, gap.second)
        ),
        "difference",
    )
    rows = []
    for name, difference in gap.difference.items():
        told = f"{difference:+.3f} ({gap.intervals[name][0]:+.3f} to {gap.intervals[name][1]:+.3f})"
        if math.isnan(difference):
            told = "–"
        sides = (f"{or_dash(side.figures[name])}" for side in (gap.first, gap.second))
        rows.append((name, *sides, f"**{told}**" if name in sure else told))
    shown = table(header, rows)
    if gap.where == "different corpora":
        shown += "\n\nNo corpus has both: rooms, microphones, actors and their task differ as well."
    return shown


def _spreads(spreads: Sequence[Spread]) -> str:
    rows = [
        (
            one.where,
            ", ".join(f"{name} {uar:.3f}" for name, uar in one.speakers.items()),
            f"{one.spread:.3f}",
            f"{one.by_chance:.3f}",
        )
        for one in spreads
    ]
    return table(("corpus", "UAR of each", "largest − smallest", "by chance"), rows)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
