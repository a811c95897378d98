"""What a server tells Prometheus, read as Prometheus reads it."""

from __future__ import annotations

import asyncio
import urllib.request
from collections.abc import Mapping

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from affectstream_server.lifecycle import Server

_OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


class Scrape:
    """One answer of /metrics."""

    def __init__(self, text: str) -> None:
        self.text = text
        families = text_string_to_metric_families(text)  # type: ignore[no-untyped-call]
        self.samples: list[Sample] = [sample for family in families for sample in family.samples]

    def value(self, name: str, **labels: str) -> float:
        """The sum over the samples of this name that have these labels; 0 where there is none."""
        return sum(
            sample.value for sample in self.samples if sample.name == name and _has(sample.labels, labels)
        )

    def exemplars(self, name: str, **labels: str) -> list[Mapping[str, str]]:
        """Labels of the exemplars of a histogram's buckets."""
        return [
            sample.exemplar.labels
            for sample in self.samples
            if sample.name == f"{name}_bucket" and sample.exemplar is not None and _has(sample.labels, labels)
        ]


async def scrape(server: Server) -> Scrape:
    """Read the metrics of a server in this process, as OpenMetrics."""
    return Scrape(await asyncio.to_thread(read, server.telemetry.metrics_address))


def read(address: str, accept: str = _OPENMETRICS) -> str:
    """GET /metrics."""
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310 - http://127.0.0.1
        text: str = response.read().decode()
        return text


def _has(labels: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(labels.get(key) == value for key, value in wanted.items())
