"""What is kept of long runs of the fuzzer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.fuzz import record
from tests.fuzz.record import Fuzzed
from tests.fuzz.target import NAMES

RUN = Fuzzed(inputs=12_345, seconds=510, crashes=0, date="2026-11-21", commit="abc")


def test_a_run_takes_the_place_of_the_one_before_of_its_target_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(record, "FILE", tmp_path / "seen.json")
    assert record.kept() == {}
    record.keep({"stream": RUN, "decode": RUN})
    newer = replace(RUN, crashes=1, commit="def")
    record.keep({"stream": newer})
    assert record.kept() == {"decode": RUN, "stream": newer}


def test_the_table_tells_of_each_target_and_of_what_was_never_run() -> None:
    lines = record.table({"stream": replace(RUN, crashes=1), "decode": RUN})
    assert lines[0] == "By `make fuzz-long`, 17 minutes over all targets:"
    assert lines[4:] == [
        "| stream | 12,345 | 8.5 | 1 | 2026-11-21, abc |",
        "| decode | 12,345 | 8.5 | 0 | 2026-11-21, abc |",
    ]
    assert "No long run" in record.table({})[0]


def test_what_is_kept_is_of_targets_that_there_are() -> None:
    assert record.kept().keys() <= set(NAMES)
