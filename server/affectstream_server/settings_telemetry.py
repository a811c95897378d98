"""Settings of what this process tells of itself: metrics and traces."""

from __future__ import annotations

from typing import Self
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from affectstream.address import is_loopback
from affectstream_server.section import Section


class TelemetrySettings(Section):
    """Off by default. No audio, no transcript and no emotion value is in any of it, but for ``answers``."""

    metrics: bool = Field(False, description="serve metrics to Prometheus at metrics_address, path /metrics")
    metrics_address: str = Field("127.0.0.1:9464", description="HOST:PORT; port 0 takes a free one")
    metrics_open: bool = Field(
        False, description="let other machines read metrics_address: it has neither TLS nor tokens"
    )
    traces: str = Field(
        "",
        description="an OTLP receiver, such as http://127.0.0.1:4318; empty: no traces",
    )
    otlp_metrics: str = Field(
        "",
        description="an OTLP receiver of the metrics, such as http://127.0.0.1:4318; empty: none",
    )
    otlp_metrics_interval_s: float = Field(
        15.0, ge=0.1, le=3_600, description="from one sending of the metrics to the next"
    )
    sample_ratio: float = Field(
        1.0,
        ge=0,
        le=1,
        description="share of traces that is kept; where the caller traces, as it does",
    )
    span_queue: int = Field(
        8_192, ge=16, le=1_000_000, description="spans that wait to be exported; what comes on top is dropped"
    )
    export_timeout_s: float = Field(
        5.0, ge=0.1, le=60, description="an export of spans or metrics takes no longer"
    )
    pii: bool = Field(
        False,
        description="spans may name tenants, languages, peers and callers' labels; they, the log and "
        "Triton's requests, session ids that callers chose, of which there is a hash else",
    )
    answers: bool = Field(False, description="count the models' answers by label; never of one utterance")
    tenants: int = Field(
        0, ge=0, le=1_000, description="tenants that metrics name; those above are 'other'; 0: none"
    )

    @property
    def on(self) -> bool:
        """Whether anything is told."""
        return self.measures or bool(self.traces)

    @property
    def measures(self) -> bool:
        """Whether anybody is told metrics."""
        return self.metrics or bool(self.otlp_metrics)

    @model_validator(mode="after")
    def _whole(self) -> Self:
        host, _, port = self.metrics_address.rpartition(":")
        if not host or not port.isdecimal() or int(port) > 65_535:
            raise ValueError(
                f"metrics_address: got {self.metrics_address!r}, expected HOST:PORT such as 127.0.0.1:9464"
            )
        if self.metrics and not self.metrics_open and not is_loopback(self.metrics_address):
            raise ValueError(
                f"metrics_address: got {self.metrics_address!r}, which other machines reach, without TLS and "
                "without authentication: take 127.0.0.1, or say metrics_open (telemetry.metrics_open)"
            )
        for name in ("traces", "otlp_metrics"):
            address = getattr(self, name)
            url = urlsplit(address)
            usable = url.scheme in ("http", "https") and url.hostname and url.username is None
            if address and not usable:
                raise ValueError(
                    f"{name}: expected http://HOST:PORT or https://HOST:PORT, without a user or a password"
                )
        return self
