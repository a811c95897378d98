"""What is installed is what was looked at: locks, what a release is said to hold, what scanners may say."""

from __future__ import annotations

import re
from datetime import date, timedelta
from pathlib import Path

import pytest

from tools.locks import LOCKS, Lock, faults, locked
from tools.security.accepted import Accepted, Finding, judge, read
from tools.security.audit import Answer, heard, said

ROOT = Path(__file__).resolve().parents[3]
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")
TODAY = date(2026, 11, 21)
FOUND = Finding("bandit", "B999", "server/x.py", "line 3")
OURS = Accepted("bandit", "B999", ("server/*",), "because", TODAY)


@pytest.mark.fault("supply chain")
@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_locks_hold_the_versions_of_constraints_and_a_hash_of_each(lock: Lock) -> None:
    assert list(faults(lock)) == []


def test_a_lock_that_is_not_as_constraints_say_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tools.locks.FOLDER", tmp_path)
    lock = Lock("x", "service.txt", names=("numpy", "redis"))
    assert list(faults(lock)) == ["x.txt: is not there"]
    lock.file.write_text("numpy==1.0 \\\n    --hash=sha256:" + "0" * 64 + "\ntorch==2.13.0\n")
    told = "\n".join(faults(lock))
    for words in (
        "numpy 1.0, and constraints say",
        "torch 2.13.0 has no hash",
        "redis is required and missing",
    ):
        assert words in told
    assert "torch must not be locked" in told


@pytest.mark.fault("supply chain")
def test_nothing_is_installed_into_an_environment_without_its_hash_but_torch() -> None:
    installs = re.findall(r"pip (?:install|download) .*", MAKEFILE)
    loose = [
        line for line in installs if "--require-hashes" not in line and "--no-build-isolation" not in line
    ]
    assert loose == ['pip install $(PIP_FLAGS) -c constraints/models.txt "$(TORCH)"']


@pytest.mark.fault("supply chain")
def test_what_is_found_is_told_unless_it_is_accepted_with_a_reason_and_a_day() -> None:
    assert judge([FOUND], [OURS], {"bandit"}, TODAY) == []
    assert judge([FOUND], [], {"bandit"}, TODAY) == ["bandit B999 server/x.py: line 3"]
    (late,) = judge([FOUND], [OURS], {"bandit"}, TODAY + timedelta(days=1))
    assert "look again" in late
    (stale,) = judge([], [OURS], {"bandit"}, TODAY)
    assert "not found any more" in stale
    assert judge([], [OURS], {"hadolint"}, TODAY) == [], "a scanner that did not run says nothing"


def test_every_accepted_finding_has_a_reason_and_a_day_within_a_year() -> None:
    for entry in read():
        assert len(entry.why.split()) >= 4
        assert entry.until <= TODAY + timedelta(days=366)


def test_an_audit_that_nobody_answered_is_none() -> None:
    skipped = {"name": "numpy", "skip_reason": "Dependency not found on PyPI: numpy (2.4.6)"}
    well = {"name": "redis", "version": "8.0.0", "vulns": []}
    bad = {"name": "redis", "version": "7.0.0", "vulns": [{"id": "PYSEC-1", "fix_versions": ["8.0.0"]}]}
    assert said(heard({"dependencies": [well]})) == ("audit: 1 packages, 0 vulnerabilities", True)
    text, ran = said(heard({"dependencies": [well, skipped]}))
    assert (text, ran) == ("audit: NOT RUN for 1 of 2: 1 were answered", False)
    assert said(Answer(trouble="no route"))[1] is False
    (finding,) = heard({"dependencies": [bad]}).findings
    assert (finding.rule, finding.file, finding.text) == ("PYSEC-1", "redis", "mended in 8.0.0")


@pytest.mark.fault("supply chain")
def test_what_a_release_is_said_to_hold_is_what_its_image_installs() -> None:
    image = next(lock for lock in LOCKS if lock.name == "image")
    assert {"grpcio", "onnxruntime", "redis", "tritonclient", "aiohttp"} <= set(locked(image))
    assert not {"pytest", "atheris", "mypy", "hypothesis", "matplotlib"} & set(locked(image))
