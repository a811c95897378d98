"""What stands around a server: its metrics, the collector, the bridge. Each is asked for by an address."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from typing import Final

from affectstream.doctor.findings import Finding, fail, ok, warn

TIMEOUT_S: Final = 5.0
_BYTES: Final = 4 * 1024 * 1024
_UNWELL: Final = (
    (r"affectstream_ready", False, "the server is not ready", "not-ready"),
    (r"affectstream_model_ready", False, "a model may not serve", "canary-failing"),
    (
        r'affectstream_triton_breaker(?=\{[^}]*state="(?:open|half open)")',
        True,
        "the breaker before Triton is not closed",
        "breaker-open",
    ),
    (r"affectstream_bus_behind", True, "Redis is behind", "bus-away"),
    (
        r'affectstream_spans_total(?=\{[^}]*outcome="(?:failed|dropped)")',
        True,
        "spans were lost",
        "spans-lost",
    ),
)
"""A value, whether it is bad above 0 or at 0, what that means, and its runbook."""


def metrics(address: str) -> Finding:
    """Prometheus' page, and what stands in it."""
    try:
        status, page = _get(f"http://{address}/metrics")
    except OSError as error:
        return fail(
            "metrics",
            f"{address}: {_cause(error)}",
            "telemetry.metrics: true, and telemetry.metrics_address as Prometheus is told it",
        )
    if status != 200 or "affectstream_build_info" not in page:
        return fail("metrics", f"{address}: that is no metrics page of Affectstream", "correct the address")
    for name, bad, what, runbook in _UNWELL:
        values = re.findall(rf"^{name}(?:\{{[^}}]*\}})? ([\d.e+-]+)", page, re.MULTILINE)
        if any((float(value) > 0) is bad for value in values):
            return warn("metrics", f"they say: {what}", f"docs/runbooks/{runbook}.md")
    return ok("metrics", f"{len(re.findall(r'^affectstream_', page, re.MULTILINE))} values, none of them bad")


def traces(url: str) -> Finding:
    """The collector takes an export without spans, as it takes those with some."""
    place = f"{url.rstrip('/')}/v1/traces"
    try:
        status, _ = _get(place, b"", "application/x-protobuf")
    except OSError as error:
        return fail(
            "traces", f"{place}: {_cause(error)}", "start the collector; telemetry.traces must name it"
        )
    if status != 200:
        return fail(
            "traces",
            f"{place} answers {status}",
            "a receiver of OTLP over HTTP, port 4318; 4317 is that of OTLP over gRPC",
        )
    return ok("traces", f"{place} takes spans")


def bridge(url: str) -> Finding:
    """The bridge, and the server behind it."""
    base = url.rstrip("/")
    try:
        status, _ = _get(f"{base}/healthz")
        behind, page = _get(f"{base}/v1/info") if status == 200 else (0, "")
    except OSError as error:
        return fail("bridge", f"{base}: {_cause(error)}", "start `affectstream bridge`, or correct the URL")
    if status == 503:
        return fail(
            "bridge", "the bridge drains: it takes no connections", "wait for the next one, or start it"
        )
    if behind == 401:
        return ok("bridge", "it is well, and its server asks for a token")
    if behind != 200 or not _is_info(page):
        return fail(
            "bridge",
            f"it answers {status}, and {behind} for what is behind it",
            "its --server, --ca and --server-name; its log says why",
        )
    return ok("bridge", "it is well, and so is the way from it to the server")


def _is_info(page: str) -> bool:
    try:
        return "models" in json.loads(page)
    except (ValueError, TypeError):
        return False


def _get(url: str, data: bytes | None = None, kind: str = "text/plain") -> tuple[int, str]:
    """Status and body. Raises `OSError` where there is no answer."""
    request = urllib.request.Request(url, data, {"Content-Type": kind} if data is not None else {})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - as the user wrote it
            return answer.status, answer.read(_BYTES).decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(_BYTES).decode(errors="replace")


def _cause(error: OSError) -> str:
    reason = getattr(error, "reason", error)
    return str(getattr(reason, "strerror", None) or reason).lower()
