"""Prometheus' rules: each alert is played both ways, and has a runbook. `make rules` plays them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from affectstream_server.telemetry.names import METRICS
from tools.dashboards import DASHBOARDS
from tools.prometheus import CONFIG

ROOT = Path(__file__).resolve().parents[3]
FOLDER = CONFIG.parent
ALERTS: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "rules/alerts.yml").read_text())["groups"]
    for rule in group["rules"]
]
RECORDED: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((FOLDER / "rules/recording.yml").read_text())["groups"]
    for rule in group["rules"]
]
NAMES = sorted({alert["alert"] for alert in ALERTS})
CASES: list[dict[str, Any]] = [
    case
    for file in sorted(FOLDER.glob("tests/*.yml"))
    for scenario in yaml.safe_load(file.read_text())["tests"]
    for case in scenario["alert_rule_test"]
]
RUNBOOKS = ROOT / "docs/runbooks"


@pytest.mark.parametrize("name", NAMES)
def test_each_alert_is_seen_to_fire_and_to_stay_silent(name: str) -> None:
    cases = [case for case in CASES if case["alertname"] == name]
    assert any(case["exp_alerts"] == [] for case in cases)
    fired = [alert["exp_labels"] for case in cases for alert in case["exp_alerts"]]
    for rule in (rule for rule in ALERTS if rule["alert"] == name):
        assert any(rule["labels"].items() <= labels.items() for labels in fired), rule["labels"]


def test_each_alert_has_its_runbook_and_each_runbook_its_alert() -> None:
    for alert in ALERTS:
        page = ROOT / alert["annotations"]["runbook_url"]
        assert alert["alert"] in page.read_text(encoding="utf-8").splitlines()[0]
    named = {alert["annotations"]["runbook_url"] for alert in ALERTS}
    assert named == {str(page.relative_to(ROOT)) for page in RUNBOOKS.glob("*.md")}


@pytest.mark.parametrize("name", NAMES)
def test_a_runbook_says_what_it_means_what_to_look_at_and_what_to_do(name: str) -> None:
    (page,) = {alert["annotations"]["runbook_url"] for alert in ALERTS if alert["alert"] == name}
    text = (ROOT / page).read_text(encoding="utf-8")
    assert re.findall(r"^## (.*)$", text, re.MULTILINE) == ["What it means", "What to look at", "What to do"]


def test_rules_and_dashboards_name_our_metrics_as_the_code_does() -> None:
    known = {metric.exposed + end for metric in METRICS for end in ("", "_bucket", "_sum", "_count")}
    known |= {rule["record"] for rule in RECORDED}
    queries = [rule["expr"] for rule in ALERTS + RECORDED]
    queries += [query for board in DASHBOARDS for panel in board.panels for query in panel.queries]
    used = {name for query in queries for name in re.findall(r"affectstream[:_][\w:]+", query)}
    assert len(used) > 30
    assert used - known == set()
    assert {metric for metric in used if metric.startswith("affectstream:")} == {
        rule["record"] for rule in RECORDED
    }, "what is recorded is used"


@pytest.mark.parametrize("board", DASHBOARDS, ids=lambda board: board.name)
def test_dashboards_are_as_they_are_described(board: Any) -> None:
    assert board.file.read_text(encoding="utf-8") == board.rendered(), "python -m tools.dashboards"


def test_an_exemplar_leads_to_its_trace() -> None:
    folder = ROOT / "deploy/grafana/provisioning"
    sources = yaml.safe_load((folder / "datasources/affectstream.yml").read_text())["datasources"]
    (exemplars,) = sources[0]["jsonData"]["exemplarTraceIdDestinations"]
    assert exemplars["name"] == "trace_id"
    assert exemplars["datasourceUid"] in {source["uid"] for source in sources}
    uids = {source["uid"] for source in sources}
    for board in DASHBOARDS:
        text = board.rendered()
        assert set(re.findall(r'"uid": "(prometheus|jaeger|[a-z]+)"', text)) <= uids
