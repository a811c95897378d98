"""docs/reliability.md tells of every fault, and of the tests that there are."""

from __future__ import annotations

import pytest

from tests.fuzz import record
from tests.support.fault_page import PAGE, Seen, gathered, kept, rendered
from tests.support.faults import ROWS, marked


@pytest.mark.parametrize("row", ROWS)
def test_every_fault_has_a_test(row: str) -> None:
    assert marked()[row]


def test_no_test_names_a_fault_that_is_none() -> None:
    assert marked().keys() == ROWS.keys()


def test_the_page_is_as_the_tests_are() -> None:
    page = rendered(kept(), record.kept())
    assert PAGE.read_text(encoding="utf-8") == page, "make faults PYTEST_FLAGS='-k the_new_test'"


def test_a_test_that_was_never_run_is_not_said_to_have_passed() -> None:
    assert "passed" not in rendered({}).replace("| test | figure seen | passed |", "")


def test_long_runs_of_the_fuzzer_stand_with_what_they_are_about() -> None:
    page = rendered({}, {"stream": record.Fuzzed(12, 510, 0, "2026-11-21", "abc")})
    _, _, section = page.partition("\n## Garbage\n")
    assert "| stream | 12 | 8.5 | 0 | 2026-11-21, abc |" in section.partition("\n## ")[0]


def test_what_was_not_held_is_said_to_be_so() -> None:
    test = marked()["soak"][0]
    page = rendered({test: Seen(passed=1, failed=1, figures=["7 MiB"], date="2026-11-21", commit="abc")})
    assert "| 7 MiB | **not held**, 2026-11-21, abc |" in page
    assert "| 30 min | **0 of 1** |" in page


def test_figures_of_all_parameters_stand_in_one_line() -> None:
    reports = [
        pytest.TestReport(
            f"tests/x/test_x.py::test_x[{n}]@group",
            ("", 0, ""),
            {},
            "passed",
            None,
            "call",
            user_properties=[("fault", "slow reader"), ("figure", f"{n} s")],
        )
        for n in (1, 2)
    ]
    (seen,) = gathered(reports).values()
    assert (seen.passed, seen.failed, seen.figures) == (2, 0, ["1 s", "2 s"])
    assert isinstance(seen, Seen)
