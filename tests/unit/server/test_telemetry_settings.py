"""What of telemetry may be switched on, and what must be said for it."""

from __future__ import annotations

import pytest

from affectstream_server.settings import Settings, SettingsError, load
from affectstream_server.telemetry.names import METRICS, Attribute, Span
from tools.metrics_table import PAGE, rendered


def settings(**values: object) -> Settings:
    return load(environ={}, overrides={"telemetry": values})


def test_nothing_is_on_unless_it_is_asked_for() -> None:
    assert not settings().telemetry.on
    assert settings(metrics=True).telemetry.metrics_address == "127.0.0.1:9464"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"metrics": True, "metrics_address": "0.0.0.0:9464"}, "metrics_open"),
        ({"metrics": True, "metrics_address": "example.org:9464"}, "metrics_open"),
        ({"metrics_address": "9464"}, "expected HOST:PORT"),
        ({"metrics_address": "127.0.0.1:99999"}, "expected HOST:PORT"),
        ({"traces": "127.0.0.1:4318"}, "expected http://HOST:PORT"),
        ({"traces": "grpc://127.0.0.1:4317"}, "expected http://HOST:PORT"),
        ({"traces": "http://user:secret@host:4318"}, "without a user or a password"),
        ({"otlp_metrics": "127.0.0.1:4318"}, "otlp_metrics: expected http://HOST:PORT"),
        ({"otlp_metrics": "http://:secret@host:4318"}, "otlp_metrics: .* without a user or a password"),
        ({"otlp_metrics_interval_s": 0}, "otlp_metrics_interval_s"),
        ({"sample_ratio": 2}, "sample_ratio"),
        ({"sampling": 1}, "telemetry.sampling: unknown setting"),
    ],
)
def test_what_cannot_be_is_refused_and_named(values: dict[str, object], expected: str) -> None:
    with pytest.raises(SettingsError, match=expected) as caught:
        settings(**values)
    assert "telemetry" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_other_machines_may_read_metrics_when_that_was_said() -> None:
    assert settings(metrics=True, metrics_address="0.0.0.0:9464", metrics_open=True).telemetry.metrics


def test_names_are_unique_and_follow_the_conventions() -> None:
    names = [metric.exposed for metric in METRICS]
    assert len(set(names)) == len(names) > 30
    for metric in METRICS:
        assert metric.name.startswith("affectstream_")
        assert not metric.name.endswith("_total"), "prometheus_client adds it"
        assert metric.text.endswith(".")
        assert bool(metric.buckets) == (metric.kind == "histogram")
    assert all(name.startswith("affectstream.") for name in Span)
    assert {key for key in Attribute if "tenant" in key or "labels" in key or "peer" in key} == {
        key for key in Attribute if ".pii." in key and key is not Attribute.LANGUAGE
    }


def test_the_page_has_the_table_of_metrics_that_the_code_has() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rendered(page) == page, "python -m tools.metrics_table"
    assert page.count("| `affectstream_") == len(METRICS)
