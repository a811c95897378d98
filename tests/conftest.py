"""Fixtures for every test, in every environment."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.speech import audio_folder


@pytest.fixture(scope="session")
def speech() -> Path:
    """The folder of real speech, or a skip with its reason."""
    folder = audio_folder()
    if folder is None:
        pytest.skip("needs real speech: set AFFECTSTREAM_AUDIO to a folder that holds manifest.tsv")
    return folder


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Every figure, after the tests; they come with the reports, from whichever process ran the test."""
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    figures = [text for report in reports for name, text in report.user_properties if name == "figure"]
    if figures:
        terminalreporter.section("figures seen")
        for line in figures:
            terminalreporter.write_line(str(line))
