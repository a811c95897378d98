"""The metrics that are counted as things happen."""

from __future__ import annotations

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.scorer import Score
from affectstream_server.settings_telemetry import TelemetrySettings
from affectstream_server.telemetry import names
from affectstream_server.telemetry.names import Metric

Exemplar = dict[str, str] | None

_TIMED: Final = ("hangover", "decision", "queue", "inference_queue", "compute", "explain", "decide")
_FORGET: Final = 1 / 500
_OTHER: Final = "other"


class Meters:
    """Every counter and histogram of `names`, in a registry."""

    def __init__(self, registry: CollectorRegistry, settings: TelemetrySettings) -> None:
        self._settings = settings
        self._tenants: set[str] = set()
        self._means: dict[str, float] = {}
        self.rpcs = _counter(names.RPCS, registry)
        self.rpc_duration = _histogram(names.RPC_DURATION, registry)
        self.refused = _counter(names.REFUSED, registry)
        self.sessions_closed = _counter(names.SESSIONS_CLOSED, registry)
        self.abandoned = _counter(names.ABANDONED, registry)
        self.blocks = _counter(names.DETECTION_BLOCKS, registry)
        self.batch = _histogram(names.DETECTION_BATCH, registry)
        self.detection = _histogram(names.DETECTION_TIME, registry)
        self.lag = _histogram(names.LOOP_LAG, registry)
        speculations = _counter(names.SPECULATIONS, registry)
        self._speculations = {
            used: speculations.labels("used" if used else "dropped") for used in (True, False)
        }
        self._utterances = _counter(names.UTTERANCES, registry)
        for status in pb.AffectStatus.values()[1:]:
            self._utterances.labels(status_name(status))  # a rate misses what a counter begins with
        self._of_tenant = _counter(names.UTTERANCES_OF_TENANT, registry)
        self._answers = _counter(names.ANSWERS, registry)
        stages = _histogram(names.STAGE, registry)
        self._stages = {stage: stages.labels(stage) for stage in names.STAGES}
        final = _histogram(names.FINAL, registry)
        self._final = {flag: final.labels(str(flag).lower()) for flag in (True, False)}
        self._confidence = _histogram(names.CONFIDENCE, registry)
        self._mean = Gauge(
            names.CONFIDENCE_MEAN.name, names.CONFIDENCE_MEAN.text, ("model",), registry=registry
        )

    def speculated(self, *, used: bool) -> None:
        """A score from ahead of the endpoint was used, or dropped."""
        self._speculations[used].inc()

    def stage(self, stage: str, seconds: float, exemplar: Exemplar) -> None:
        """An utterance spent this long in a stage."""
        self._stages[stage].observe(seconds, exemplar)

    def final(self, seconds: float, exemplar: Exemplar, *, speculated: bool) -> None:
        """From an endpoint to its final's bytes."""
        self._final[speculated].observe(seconds, exemplar)

    def decided(self, event: pb.AffectEvent, score: Score | None, tenant: str, exemplar: Exemplar) -> None:
        """A final was made: its status, the stages of its `Timing`, and how sure the model is."""
        self._utterances.labels(status_name(event.status)).inc()
        if self._settings.tenants:
            self._of_tenant.labels(self._tenant(tenant)).inc()
        for stage in _TIMED:
            if event.timing.HasField(f"{stage}_ms"):  # type: ignore[arg-type]
                self.stage(stage, getattr(event.timing, f"{stage}_ms") / 1_000, exemplar)
        if score is None or event.status == pb.AFFECT_STATUS_CONSENT_WITHHELD:
            return
        self._sure(score.model.name, float(score.probabilities.max()))
        if self._settings.answers and event.status == pb.AFFECT_STATUS_OK:
            self._answers.labels(score.model.name, event.top_label).inc()

    def _sure(self, model: str, probability: float) -> None:
        self._confidence.labels(model).observe(probability)
        before = self._means.get(model, probability)
        self._means[model] = before + _FORGET * (probability - before)
        self._mean.labels(model).set(self._means[model])

    def _tenant(self, tenant: str) -> str:
        if tenant not in self._tenants and len(self._tenants) < self._settings.tenants:
            self._tenants.add(tenant)
        return tenant if tenant in self._tenants else _OTHER


def status_name(status: pb.AffectStatus.ValueType) -> str:
    """As MODEL_ERROR."""
    return pb.AffectStatus.Name(status).removeprefix("AFFECT_STATUS_")


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    return Counter(metric.name, metric.text, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    return Histogram(metric.name, metric.text, metric.labels, buckets=metric.buckets, registry=registry)
