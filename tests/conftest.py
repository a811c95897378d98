"""Fixtures for every test, in every environment."""

from __future__ import annotations

from collections.abc import Callable, Generator
from functools import partial
from pathlib import Path

import pytest

from tests.support import fault_page, stuck
from tests.support.faults import ROWS
from tests.support.speech import audio_folder


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech, or a skip with its reason."""
    folder = audio_folder()
    if folder is None:
        pytest.skip("needs real speech: set AFFECTSTREAM_AUDIO to a folder that holds manifest.tsv")
    return folder


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Reports a figure that was seen; tests assert five times what is wanted."""
    return partial(record_property, "figure")


@pytest.fixture
def full(request: pytest.FixtureRequest) -> bool:
    """The test is to run in its long form."""
    return bool(request.config.getoption("--full"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--full", action="store_true", help="run tests that have a long form in it")
    parser.addoption("--reliability", action="store_true", help="write docs/reliability.md of what was seen")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Each report names the faults that its test is about."""
    for item in items:
        for mark in item.iter_markers("fault"):
            for name in mark.args:
                assert name in ROWS, f"{item.nodeid}: no such fault as {name!r} in tests/support/faults.py"
                item.user_properties.append(("fault", name))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A test that ran out of time says where every task of it stands."""
    report = yield
    stuck.add_to(report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Every figure, after the tests; they come with the reports, from whichever process ran the test."""
    reports = [
        report
        for kind in ("passed", "failed", "error", "skipped")
        for report in terminalreporter.getreports(kind)
        if isinstance(report, pytest.TestReport)
    ]
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures seen")
        for line in figures:
            terminalreporter.write_line(str(line))
    if config.getoption("--reliability"):
        # `passed` has no reports of setting up; those of failures have all.
        fault_page.keep(fault_page.gathered(reports))
