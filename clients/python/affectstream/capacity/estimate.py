"""What some number of calls takes, tier by tier, and which tier is full first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Final

from affectstream.capacity.assumptions import DEFAULTS, REACHED, Assumptions, Gpu
from affectstream.capacity.batcher import Scorer, best_rate
from affectstream.capacity.core import Costs
from affectstream.capacity.figures import Figures
from affectstream.capacity.fit import streams_per_core
from affectstream.contract import LIMITS

BYTES_PER_S: Final = 32_000
"""16 kHz, 16 bit."""
POST_ROLL_MS: Final = 48.0
"""The server's default: a score is begun once this much silence was heard."""
_LINK_SHARE: Final = 0.7


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked."""

    frame_ms: int = 100
    gpu: Gpu | None = None
    """Where scores are computed; None: in the server, by the embedded model."""
    gpu_per_s: float = 0.0
    """Windows a second of one card in large batches, where that was measured."""
    gpu_overhead: float = 1.0
    """What a batch costs beside its windows, in windows."""

    @property
    def kind(self) -> str:
        """Of load, as the bench names it."""
        return "recorded" if self.gpu else "service"


@dataclass(frozen=True, slots=True)
class Tier:
    """One kind of thing, and the calls that one of it holds, at worst and at best."""

    name: str
    unit: str
    least: float
    most: float
    splits: bool = True
    """More of them share one load; else calls are divided into cells, each with its own."""

    def needed(self, calls: int) -> tuple[int, int]:
        """How many, at best and at worst."""
        return ceil(calls / self.most), ceil(calls / self.least)


@dataclass(frozen=True, slots=True)
class Estimate:
    """For one number of calls."""

    calls: int
    utterances_per_s: float
    scores_per_s: float
    tiers: tuple[Tier, ...]
    memory_gib: float
    """Of all server processes."""
    audio_gbit_s: float
    """From callers to servers."""
    scoring_gbit_s: float
    """From servers to the GPUs; 0: none."""
    retained_gib: float
    """Events in Redis."""

    @property
    def first(self) -> Tier:
        """Of what does not split, what one of it holds fewest calls; where all of that holds them, cores."""
        whole = [tier for tier in self.tiers if not tier.splits and tier.least < self.calls]
        return min(whole, key=lambda tier: tier.least, default=self.tiers[0])


def lead_ms(figures: Figures) -> float:
    """How long before its endpoint a score is begun, of those begun before."""
    return max(figures.hangover_ms - POST_ROLL_MS, 0.0)


def gpu_rates(figures: Figures, plan: Plan, assumed: Assumptions) -> tuple[float, float]:
    """Windows a second that one GPU answers in time, at worst and at best."""
    if plan.gpu is None:
        return 0.0, 0.0
    rates = [reached * plan.gpu.bf16_flop_s / assumed.window_flop for reached in REACHED]
    if plan.gpu_per_s:
        rates = [plan.gpu_per_s, plan.gpu_per_s]
    least, most = (
        best_rate(
            Scorer(rate, plan.gpu_overhead),
            hit_share=figures.hit_share,
            lead_ms=lead_ms(figures),
            objective_ms=assumed.objective_ms,
        )
        for rate in rates
    )
    return least, most


def tiers(figures: Figures, costs: Costs, plan: Plan, assumed: Assumptions = DEFAULTS) -> tuple[Tier, ...]:
    """What there is, cores first."""
    _, scores = _rates(figures)
    core = streams_per_core(figures, costs, plan.kind, plan.frame_ms, assumed.core_share)
    found = [Tier("server processes", "core", core, core)]
    link_bytes_s = assumed.link_gbit_s * _LINK_SHARE * 1e9 / 8
    if plan.gpu is not None:
        least, most = gpu_rates(figures, plan, assumed)
        found.append(Tier("GPUs", "GPU", least / scores, most / scores))
        link = link_bytes_s / (scores * assumed.window_bytes)
        found.append(Tier("windows to the GPUs", f"link of {assumed.link_gbit_s:g} Gbit/s", link, link))
    link = link_bytes_s / _audio_bytes_s(plan, assumed)
    found.append(Tier("audio of callers", f"link of {assumed.link_gbit_s:g} Gbit/s", link, link))
    if figures.redis_us_per_event:
        events = assumed.core_share * 1e6 / figures.redis_us_per_event
        redis = events / _events_per_s(figures, assumed)
        found.append(Tier("Redis, where sessions are watched", "Redis", redis, redis, splits=False))
    return tuple(found)


def estimate(
    calls: int, figures: Figures, costs: Costs, plan: Plan, assumed: Assumptions = DEFAULTS
) -> Estimate:
    """What ``calls`` at once take."""
    utterances, scores = _rates(figures)
    found = tiers(figures, costs, plan, assumed)
    processes = found[0].needed(calls)[1]
    return Estimate(
        calls=calls,
        utterances_per_s=calls * utterances,
        scores_per_s=calls * scores,
        tiers=found,
        memory_gib=(processes * assumed.process_mib + calls * figures.kib_per_stream / 1_024) / 1_024,
        audio_gbit_s=calls * _audio_bytes_s(plan, assumed) * 8 / 1e9,
        scoring_gbit_s=calls * scores * assumed.window_bytes * 8 / 1e9 if plan.gpu else 0.0,
        retained_gib=calls * _retained_events(_events_per_s(figures, assumed)) * assumed.event_bytes / 2**30,
    )


def as_dict(found: Estimate) -> Mapping[str, object]:
    """For programs."""
    return {
        "calls": found.calls,
        "utterances_per_s": round(found.utterances_per_s, 1),
        "scores_per_s": round(found.scores_per_s, 1),
        "needs": {
            tier.name: {
                "unit": tier.unit,
                "at_best": tier.needed(found.calls)[0],
                "at_worst": tier.needed(found.calls)[1],
                "calls_a_unit": [round(tier.least, 1), round(tier.most, 1)],
            }
            for tier in found.tiers
        },
        "memory_gib": round(found.memory_gib, 1),
        "audio_gbit_s": round(found.audio_gbit_s, 2),
        "scoring_gbit_s": round(found.scoring_gbit_s, 2),
        "retained_gib": round(found.retained_gib, 2),
        "saturates_first": found.first.name,
    }


def _rates(figures: Figures) -> tuple[float, float]:
    """Utterances and scores a second of one call."""
    utterances = figures.utterances_per_minute / 60
    return utterances, utterances / (1 - figures.wasted_share)


def _events_per_s(figures: Figures, assumed: Assumptions) -> float:
    """Of one call."""
    return figures.utterances_per_minute / 60 * assumed.events + assumed.progress


def _retained_events(per_s: float) -> float:
    """Of one call that lasts, with its share of the tenant's log."""
    return 2 * min(per_s * LIMITS.retention_ms / 1_000, LIMITS.retention_events)


def _audio_bytes_s(plan: Plan, assumed: Assumptions) -> float:
    return BYTES_PER_S + assumed.message_bytes * 1_000 / plan.frame_ms
