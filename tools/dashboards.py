"""What the dashboards show: `python -m tools.dashboards` writes them into deploy/grafana."""

from __future__ import annotations

import sys
from typing import Final

from tools.grafana import FOLDER, Dashboard, Panel, mean, quantile, rate

_FINAL: Final = "affectstream_final_duration_seconds"
_STAGE: Final = "affectstream_stage_duration_seconds"
_IN_TIME: Final = f'{_FINAL}_bucket{{le="0.15"}}'
_SECONDS: Final = "s"
_SHARE: Final = "percentunit"
_RATE: Final = "cps"

OVERVIEW: Final = Dashboard(
    "overview",
    "Affectstream",
    (
        Panel("Servers ready", {"sum(affectstream_ready)": ""}, kind="stat", width=4, height=4),
        Panel(
            "Alerts firing",
            {'count(ALERTS{alertstate="firing"}) or vector(0)': ""},
            kind="stat",
            width=4,
            height=4,
        ),
        Panel("Streams", {"sum(affectstream_streams)": ""}, kind="stat", width=4, height=4),
        Panel(
            "Finals failed, 1 h",
            {"affectstream:finals_failed:ratio_rate1h": ""},
            _SHARE,
            "stat",
            4,
            4,
            "The objective allows 0.1 % in 30 days.",
        ),
        Panel(
            "Finals later than 150 ms, 1 h",
            {"affectstream:finals_late:ratio_rate1h": ""},
            _SHARE,
            "stat",
            4,
            4,
            "The objective allows 1 % in 30 days.",
        ),
        Panel("p99, 5 min", {"affectstream:final_duration_seconds:p99_rate5m": ""}, _SECONDS, "stat", 4, 4),
        Panel(
            "Endpoint to final",
            {quantile(0.5, _FINAL): "p50", quantile(0.95, _FINAL): "p95", quantile(0.99, _FINAL): "p99"},
            _SECONDS,
            text="A point leads to the trace of one utterance.",
            exemplars=True,
        ),
        Panel(
            "Finals by status",
            {rate("affectstream_utterances_total", "status"): "{{status}}"},
            _RATE,
            stacked=True,
        ),
        Panel("Stages, p95", {quantile(0.95, _STAGE, "stage"): "{{stage}}"}, _SECONDS),
        Panel(
            "What is open",
            {
                "sum(affectstream_streams)": "streams",
                "sum(affectstream_sessions)": "sessions",
                "sum(affectstream_sessions_lost)": "without a stream",
                "sum(affectstream_analyses)": "analyses",
                "sum(affectstream_watchers)": "watchers",
                "sum(affectstream_scores_in_flight)": "scores",
            },
        ),
        Panel(
            "Calls that ended",
            {rate("affectstream_rpcs_total", "method, status"): "{{method}} {{status}}"},
            _RATE,
        ),
        Panel("Errors by reason", {rate("affectstream_refused_total", "reason"): "{{reason}}"}, _RATE),
        Panel(
            "Event loop wakes late, p99",
            {"affectstream:loop_lag_seconds:p99_rate5m": "{{instance}}"},
            _SECONDS,
        ),
        Panel(
            "Detector",
            {
                quantile(0.95, "affectstream_detection_duration_seconds"): "one batch, p95",
                mean(
                    "affectstream_detection_batch_blocks_sum",
                    "affectstream_detection_batch_blocks_count",
                    "instance",
                ): "blocks a batch {{instance}}",
                "sum(affectstream_detection_waiting)": "channels that wait",
            },
        ),
        Panel(
            "Process",
            {
                'rate(process_cpu_seconds_total{job="affectstream"}[$__rate_interval])': "cores {{instance}}",
                'process_resident_memory_bytes{job="affectstream"} / 1e9': "GB {{instance}}",
            },
        ),
        Panel(
            "Bus",
            {
                rate("affectstream_bus_published_total"): "events a second",
                rate("affectstream_bus_dropped_total"): "gave way a second",
                "sum(affectstream_bus_behind)": "sessions that Redis is behind",
            },
        ),
        Panel(
            "How sure the models are",
            {"affectstream_confidence_mean": "{{model}} {{instance}}"},
            _SHARE,
            text="A slow way down: audio or callers are not what the model knows.",
        ),
        Panel("Spans", {rate("affectstream_spans_total", "outcome"): "{{outcome}}"}, _RATE),
    ),
)

SLOW: Final = Dashboard(
    "slow-utterance",
    "A slow utterance",
    (
        Panel(
            "Endpoint to final: each point is one utterance, with its trace",
            {f"sum by (le) (increase({_FINAL}_bucket[$__rate_interval]))": "{{le}}"},
            _SECONDS,
            "heatmap",
            16,
            10,
            exemplars=True,
        ),
        Panel(
            "Later than 150 ms, by whether a score was ready",
            {
                f"1 - {rate(_IN_TIME, 'speculated')} / {rate(f'{_FINAL}_count', 'speculated')}": (
                    "speculated: {{speculated}}"
                )
            },
            _SHARE,
            height=10,
        ),
        Panel(
            "Where the time goes, mean",
            {mean(f"{_STAGE}_sum", f"{_STAGE}_count", "stage"): "{{stage}}"},
            _SECONDS,
            width=12,
            stacked=True,
        ),
        Panel(
            "Where the time goes, p99",
            {quantile(0.99, _STAGE, "stage"): "{{stage}}"},
            _SECONDS,
            width=12,
            exemplars=True,
        ),
        Panel(
            "Scores from ahead of the endpoint",
            {rate("affectstream_speculations_total", "outcome"): "{{outcome}}"},
            _RATE,
        ),
        Panel(
            "At the models", {"sum by (model) (affectstream_model_pending)": "{{model}}"}, text="Utterances."
        ),
        Panel(
            "Begun and left", {rate("affectstream_utterances_abandoned_total"): "utterances a second"}, _RATE
        ),
        Panel("The trace: its id above", {"$trace": ""}, kind="traces", width=24, height=14),
    ),
    variables=("trace",),
)

TRITON: Final = Dashboard(
    "triton",
    "Triton and GPU",
    (
        Panel(
            "Requests",
            {
                rate("nv_inference_request_success", "model"): "{{model}}",
                rate("nv_inference_request_failure", "model"): "{{model}} failed",
            },
            _RATE,
        ),
        Panel("Pending", {"sum by (model) (nv_inference_pending_request_count)": "{{model}}"}),
        Panel("Mean batch", {mean("nv_inference_count", "nv_inference_exec_count", "model"): "{{model}}"}),
        Panel(
            "In Triton's queue, mean",
            {mean("nv_inference_queue_duration_us", "nv_inference_request_success", "model"): "{{model}}"},
            "µs",
        ),
        Panel(
            "Computing, mean",
            {
                mean(
                    "nv_inference_compute_infer_duration_us", "nv_inference_request_success", "model"
                ): "{{model}}"
            },
            "µs",
        ),
        Panel(
            "Calls of Triton as the service sees them",
            {rate("affectstream_triton_calls_total", "model, outcome"): "{{model}} {{outcome}}"},
            _RATE,
        ),
        Panel("Breaker", {"sum by (model, state) (affectstream_triton_breaker)": "{{model}} {{state}}"}),
        Panel("Model may serve", {"min by (model) (affectstream_model_ready)": "{{model}}"}),
        Panel(
            "The embedded model in its place",
            {rate("affectstream_fallbacks_total", "model"): "{{model}}"},
            _RATE,
            text="Where triton.fallback is on.",
        ),
        Panel("GPU busy", {"nv_gpu_utilization": "{{gpu_uuid}}"}, _SHARE, width=6),
        Panel(
            "GPU memory",
            {"nv_gpu_memory_used_bytes / nv_gpu_memory_total_bytes": "{{gpu_uuid}}"},
            _SHARE,
            width=6,
        ),
        Panel(
            "GPU power",
            {"nv_gpu_power_usage": "{{gpu_uuid}}", "nv_gpu_power_limit": "limit {{gpu_uuid}}"},
            "watt",
            width=6,
        ),
        Panel("Triton's CPU", {"nv_cpu_utilization": "{{instance}}"}, _SHARE, width=6),
    ),
)

DASHBOARDS: Final = (OVERVIEW, SLOW, TRITON)


if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    for dashboard in DASHBOARDS:
        dashboard.file.write_text(dashboard.rendered(), encoding="utf-8")
    sys.exit()
