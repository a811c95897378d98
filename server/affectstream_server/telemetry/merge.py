"""The metrics of several processes as those of one server.

Counters and histograms are summed, and do not fall when a process ends: what it had counted stays in the
sum. A gauge is merged as `names` says. What tells of an operating system's process has a label ``process``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric as Family
from prometheus_client.samples import Exemplar, Sample

from affectstream_server.telemetry.names import METRICS

Told = list[Any]
"""A family as JSON has it: name, type, text, and samples as [name, labels, value, exemplar or None]."""

_MERGED: Final = {metric.name: metric.merged for metric in METRICS}
_SUMMED: Final = frozenset({"counter", "histogram"})

Key = tuple[str, tuple[tuple[str, str], ...]]


def told_of(registry: CollectorRegistry) -> list[Told]:
    """All that a registry holds at this moment."""
    return [
        [family.name, family.type, family.documentation, [_told_sample(one) for one in family.samples]]
        for family in registry.collect()
    ]


def merged(processes: Mapping[str, Iterable[Told]], gone: Iterable[Told] = ()) -> Iterator[Family]:
    """One server's families. ``processes``: by the value of their label; ``gone``: see `sums`."""
    families: dict[str, _Sum] = {}
    for told in gone:
        families.setdefault(told[0], _Sum(told)).add(told)
    for process, all_told in processes.items():
        for told in all_told:
            of_process = {} if told[0] in _MERGED else {"process": process}
            families.setdefault(told[0], _Sum(told)).add(told, of_process)
    for family in families.values():
        yield family.family()


def sums(before: Iterable[Told], ended: Iterable[Told]) -> list[Told]:
    """What stays of processes that ended: of those ``before``, and of one more."""
    families: dict[str, _Sum] = {}
    for told in (*before, *ended):
        if told[1] in _SUMMED and told[0] in _MERGED:
            families.setdefault(told[0], _Sum(told)).add(told)
    return [family.told() for family in families.values()]


class _Sum:
    """One family of several processes."""

    def __init__(self, told: Told) -> None:
        self._name, self._kind, self._text, _ = told
        self._values: dict[Key, list[float]] = {}
        self._exemplars: dict[Key, list[Any]] = {}

    def add(self, told: Told, labels: Mapping[str, str] = {}) -> None:
        """Those of one more."""
        for name, own, value, exemplar in told[3]:
            key = name, tuple((own | labels).items())
            self._values.setdefault(key, []).append(float(value))
            newest = self._exemplars.get(key)
            if exemplar is not None and (newest is None or exemplar[2] > newest[2]):
                self._exemplars[key] = exemplar

    def told(self) -> Told:
        """As JSON has it."""
        samples = [
            [key[0], dict(key[1]), self._merged(key[0], values), self._exemplars.get(key)]
            for key, values in self._values.items()
        ]
        return [self._name, self._kind, self._text, samples]

    def family(self) -> Family:
        """As Prometheus has it."""
        family = Family(self._name, self._text, self._kind)
        for name, labels, value, exemplar in self.told()[3]:
            family.samples.append(
                Sample(name, labels, value, None, Exemplar(*exemplar) if exemplar else None)
            )
        return family

    def _merged(self, name: str, values: list[float]) -> float:
        if self._kind in _SUMMED:
            return min(values) if name.endswith("_created") else math.fsum(values)
        match _MERGED.get(self._name):
            case "min":
                return min(values)
            case "max":
                return max(values)
            case "mean":
                return math.fsum(values) / len(values)
        return math.fsum(values)


def _told_sample(sample: Sample) -> list[Any]:
    seen = sample.exemplar
    exemplar = [dict(seen.labels), seen.value, seen.timestamp] if seen is not None else None
    return [sample.name, dict(sample.labels), sample.value, exemplar]
