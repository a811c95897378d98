"""Every name that leaves this process: spans, their attributes, metrics and their labels.

An attribute that may hold what a person or a caller said or chose carries `pii` in its key, and is off by
default (``telemetry.pii``). No label has an unbounded number of values.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Literal


class Span(StrEnum):
    """Names of spans."""

    STREAM = "affectstream.stream"
    """From the call to the session's start, or to its refusal. It does not last as long as the call."""
    STREAM_END = "affectstream.stream.end"
    """How a stream ended that had begun, at its end. Linked to the stream's span."""
    ANALYSIS = "affectstream.analysis"
    """One AnalyzeUtterance call."""
    UTTERANCE = "affectstream.utterance"
    """From the start of speech to the final's bytes handed to gRPC. Linked to its stream's span."""
    ENDPOINTING = "affectstream.endpointing"
    """End of speech to the endpoint declared: hang-over, then decision."""
    QUEUE = "affectstream.queue"
    """A score that was asked for waits for its place."""
    SCORE = "affectstream.score"
    """The embedded model computes."""
    TRITON = "affectstream.triton"
    """One call of Triton; as many as there were attempts."""
    EXPLAIN = "affectstream.explain"
    """The final waits for cues and saliency, after its score and after its endpoint."""
    SALIENCY = "affectstream.saliency"
    """The model is asked for the extra scores of saliency, be it before the endpoint."""
    DECIDE = "affectstream.decide"
    """Score, or what was waited for beside it, to event."""
    EMIT = "affectstream.emit"
    """Event to its bytes handed to gRPC."""
    PUBLISH = "affectstream.publish"
    """Event handed to the bus."""


class Attribute(StrEnum):
    """Keys of attributes."""

    RPC_SYSTEM = "rpc.system.name"
    RPC_METHOD = "rpc.method"
    RPC_STATUS = "rpc.response.status_code"
    ERROR_TYPE = "error.type"
    REASON = "affectstream.reason"
    """Stable word of an error or an end, such as TOO_MANY_STREAMS."""
    SESSION = "affectstream.session.id"
    """As the server made it; of one that the caller chose a hash, unless ``telemetry.pii`` is on."""
    EPOCH = "affectstream.session.epoch"
    UTTERANCE = "affectstream.utterance.id"
    """Begins with the session's, as that is told."""
    UTTERANCES = "affectstream.utterances"
    """Finals that a stream was sent."""
    CHANNEL = "affectstream.channel"
    TRIGGER = "affectstream.trigger"
    STATUS = "affectstream.status"
    """AffectStatus of the final."""
    AUDIO_MS = "affectstream.audio_ms"
    SPEECH_MS = "affectstream.speech_ms"
    HANGOVER_MS = "affectstream.hangover_ms"
    DECISION_MS = "affectstream.decision_ms"
    QUEUE_MS = "affectstream.queue_ms"
    COMPUTE_MS = "affectstream.compute_ms"
    EXPLAIN_MS = "affectstream.explain_ms"
    DECIDE_MS = "affectstream.decide_ms"
    SPECULATED = "affectstream.speculated"
    PURPOSE = "affectstream.purpose"
    """What a score was asked for: final, ahead."""
    OUTCOME = "affectstream.outcome"
    """What became of a score: answered, dropped, or the error's name."""
    SCORES = "affectstream.saliency.scores"
    """How many were asked for."""
    MODEL = "affectstream.model.name"
    VERSION = "affectstream.model.version"
    ATTEMPT = "affectstream.triton.attempt"
    """1 for the first call of a score."""
    BREAKER = "affectstream.triton.breaker"
    """closed, open, half open: before the call."""
    REQUEST = "triton.request_id"
    """As Triton's own traces and its log have it. Begins with the utterance's, as that is told."""
    TENANT = "affectstream.pii.tenant"
    LABELS = "affectstream.pii.session.labels"
    """The caller's own marks, as key=value."""
    LANGUAGE = "affectstream.pii.language"
    PEER = "affectstream.pii.peer"
    """The address that called."""


Told = dict[str, str | int | float | bool]
"""Attributes and their values."""

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. Counters are exposed with `_total` at their end."""

    name: str
    kind: Kind
    text: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    exemplars: bool = False
    """Its buckets name the trace of one that fell into them."""
    merged: Literal["sum", "min", "max", "mean"] = "sum"
    """What one server says whose processes each have a value; of a counter and a histogram always the sum."""

    @property
    def exposed(self) -> str:
        """As queries name it: of a histogram, without `_bucket`, `_sum` and `_count`."""
        return f"{self.name}_total" if self.kind == "counter" else self.name


_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.15, 0.25, 0.5, 1.0, 2.5, 5.0)
_CALL: Final = (0.005, 0.025, 0.1, 0.5, 1.0, 5.0, 30.0, 120.0, 600.0, 3_600.0)
_BLOCKS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1_024)
_SHARES: Final = (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 1.0)

# -- as it is at the moment of a scrape -----------------------------------------------------------

BUILD: Final = Metric("affectstream_build_info", "gauge", "Always 1.", ("version",), merged="max")
READY: Final = Metric("affectstream_ready", "gauge", "1 while streams are accepted.", merged="min")
STREAMS: Final = Metric("affectstream_streams", "gauge", "StreamAffect calls that are open.")
SESSIONS: Final = Metric("affectstream_sessions", "gauge", "Sessions, with a stream or without.")
SESSIONS_LOST: Final = Metric(
    "affectstream_sessions_lost", "gauge", "Sessions that lost their stream and may be continued."
)
ANALYSES: Final = Metric("affectstream_analyses", "gauge", "AnalyzeUtterance calls in hand.")
WATCHERS: Final = Metric("affectstream_watchers", "gauge", "WatchAffect calls that are open.")
SCORES_IN_FLIGHT: Final = Metric(
    "affectstream_scores_in_flight", "gauge", "Scores asked for and not over, over all streams."
)
DETECTION_WAITING: Final = Metric(
    "affectstream_detection_waiting", "gauge", "Channels whose audio waits for the detector's next batch."
)
TASKS: Final = Metric(
    "affectstream_tasks", "gauge", "Tasks of the event loop: some for each open call, few beside them."
)
MODEL_READY: Final = Metric(
    "affectstream_model_ready",
    "gauge",
    "1 while the model may serve, and no fallback in its place.",
    ("model",),
    merged="min",
)
MODEL_PENDING: Final = Metric(
    "affectstream_model_pending", "gauge", "Utterances at the model or waiting for it.", ("model",)
)
BREAKER: Final = Metric(
    "affectstream_triton_breaker",
    "gauge",
    "1 for the state that the breaker is in; of several processes, for each that one of theirs is in.",
    ("model", "state"),
    merged="max",
)
TRITON_OUTCOMES: Final = (
    "asked",
    "retried",
    "discarded",
    "too_late",
    "unreachable",
    "overloaded",
    "refused_by_breaker",
)
TRITON_CALLS: Final = Metric(
    "affectstream_triton_calls",
    "counter",
    f"Calls of Triton: {', '.join(TRITON_OUTCOMES)}.",
    ("model", "outcome"),
)
FALLBACKS: Final = Metric(
    "affectstream_fallbacks", "counter", "Utterances that the embedded model answered in place.", ("model",)
)
BUS_PUBLISHED: Final = Metric("affectstream_bus_published", "counter", "Events handed to the bus.")
BUS_DROPPED: Final = Metric(
    "affectstream_bus_dropped", "counter", "Retained events that gave way to newer ones before their time."
)
BUS_BEHIND: Final = Metric(
    "affectstream_bus_behind", "gauge", "Sessions with events that Redis does not have yet."
)
BUS_RETAINED: Final = Metric("affectstream_bus_retained_bytes", "gauge", "Memory of retained events.")

LOGS_DROPPED: Final = Metric(
    "affectstream_logs_dropped", "counter", "Log records above their kind's rate.", ("level",)
)
SPANS_OPEN: Final = Metric("affectstream_spans_open", "gauge", "Spans that began and did not end yet.")
SPANS: Final = Metric(
    "affectstream_spans",
    "counter",
    "Spans that ended: exported; dropped, since the queue was full; failed, since nobody took them.",
    ("outcome",),
)
METRIC_EXPORTS: Final = Metric(
    "affectstream_metric_exports",
    "counter",
    "Exports of all metrics, where telemetry.otlp_metrics is set: exported; failed, since nobody took it.",
    ("outcome",),
)

# -- of the supervisor of several processes ----------------------------------------------------------

PROCESSES: Final = Metric(
    "affectstream_processes", "gauge", "Processes of this server that are ready, where it has several."
)
PROCESSES_WANTED: Final = Metric(
    "affectstream_processes_wanted", "gauge", "Processes of this server that are to be ready."
)
PROCESSES_ENDED: Final = Metric(
    "affectstream_processes_ended",
    "counter",
    "Processes of this server that ended unasked; another one was started for each.",
)

# -- as it happens --------------------------------------------------------------------------------

RPCS: Final = Metric("affectstream_rpcs", "counter", "Calls that ended.", ("method", "status"))
RPC_DURATION: Final = Metric(
    "affectstream_rpc_duration_seconds", "histogram", "How long calls took.", ("method",), _CALL
)
REFUSED: Final = Metric(
    "affectstream_refused",
    "counter",
    "Calls that ended with an error of ours, by its reason: admission, quotas, tokens, bad requests.",
    ("method", "reason"),
)
SESSIONS_CLOSED: Final = Metric(
    "affectstream_sessions_closed", "counter", "Sessions that ended, by their reason.", ("reason",)
)
UTTERANCES: Final = Metric("affectstream_utterances", "counter", "Finals, by AffectStatus.", ("status",))
UTTERANCES_OF_TENANT: Final = Metric(
    "affectstream_tenant_utterances",
    "counter",
    "Finals by tenant, where telemetry.tenants is not 0; those above that number are 'other'.",
    ("tenant",),
)
ABANDONED: Final = Metric(
    "affectstream_utterances_abandoned", "counter", "Utterances that began and whose final nobody waited for."
)
STAGES: Final = (
    "hangover",
    "decision",
    "queue",
    "inference_queue",
    "compute",
    "explain",
    "decide",
    "emit",
    "publish",
)
STAGE: Final = Metric(
    "affectstream_stage_duration_seconds",
    "histogram",
    f"Where an utterance's time went: {', '.join(STAGES)}. All but the last two are the event's Timing.",
    ("stage",),
    _FAST,
    exemplars=True,
)
FINAL: Final = Metric(
    "affectstream_final_duration_seconds",
    "histogram",
    "Endpoint declared to the final's bytes handed to gRPC.",
    ("speculated",),
    _FAST,
    exemplars=True,
)
SPECULATIONS: Final = Metric(
    "affectstream_speculations",
    "counter",
    "Scores begun before the endpoint: used, or dropped because speech went on.",
    ("outcome",),
)
ANSWERS: Final = Metric(
    "affectstream_answers",
    "counter",
    "Finals by top label, where telemetry.answers is on.",
    ("model", "label"),
)
CONFIDENCE: Final = Metric(
    "affectstream_confidence", "histogram", "Probability of the top label of scores.", ("model",), _SHARES
)
CONFIDENCE_MEAN: Final = Metric(
    "affectstream_confidence_mean",
    "gauge",
    "The same, as a mean that forgets: the newest 500 scores weigh 63 %.",
    ("model",),
    merged="mean",
)
DETECTION_BLOCKS: Final = Metric(
    "affectstream_detection_blocks", "counter", "Blocks of 32 ms that the detector looked at."
)
DETECTION_BATCH: Final = Metric(
    "affectstream_detection_batch_blocks", "histogram", "Blocks in one call of the detector.", (), _BLOCKS
)
DETECTION_TIME: Final = Metric(
    "affectstream_detection_duration_seconds",
    "histogram",
    "One batch: the detector, and what follows from it for the streams.",
    (),
    _FAST,
)
LOOP_LAG: Final = Metric(
    "affectstream_loop_lag_seconds",
    "histogram",
    "How late the event loop woke a task, looked at every 0.1 s.",
    (),
    _FAST,
)
METRICS: Final = tuple(value for value in tuple(globals().values()) if isinstance(value, Metric))
"""All of them."""
