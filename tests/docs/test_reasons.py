"""Every reason and code that the code gives stands in `affectstream.reasons` as it is given, and no other."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from affectstream.reasons import BRIDGE, CLIENT, SERVER, WARNINGS, Reason
from tests.docs import said

MADE_LATER = {
    "BRIDGE_FULL",  # raw bytes, before there is a request
    "INVALID_FIELD",  # what a refused field has that says nothing else
    "MALFORMED_MESSAGE",  # the bridge's own, in the same way
    "TENANT_ANALYSES",
    "TENANT_AUDIO_RATE",
    "TENANT_STREAMS",
    "TENANT_UTTERANCES",
    "TOO_MANY_WATCHERS",
    "TOO_MANY_WATCHERS_OF_SUBJECT",
}
"""Reasons that no place names beside the error it makes."""


@pytest.mark.parametrize(
    ("folder", "without", "told"),
    [
        pytest.param(said.SERVER, (), SERVER, id="server"),
        pytest.param(said.BRIDGE, (), BRIDGE, id="bridge"),
        pytest.param(said.CLIENT, (said.BRIDGE,), CLIENT, id="client"),
    ],
)
def test_reasons_are_told_as_they_are_given(
    folder: Path, without: tuple[Path, ...], told: Mapping[str, Reason]
) -> None:
    given = [one for one in said.reasons(folder, *without) if one.reason]
    assert sorted({one.reason for one in given} - set(told)) == [], "to be added to affectstream/reasons.py"
    assert sorted(set(told) - {one.reason for one in given} - MADE_LATER) == [], "given nowhere any more"
    wrong = [one for one in given if one.status not in ("", told[one.reason].status)]
    assert wrong == []
    assert [one for one in given if one.delay != told[one.reason].delay] == []


@pytest.mark.parametrize("name", sorted(MADE_LATER))
def test_what_is_made_later_is_in_the_code(name: str) -> None:
    text = "".join(
        file.read_text(encoding="utf-8")
        for folder in (said.SERVER, said.BRIDGE)
        for file in folder.rglob("*.py")
    )
    parts = (name,) if name in text else name.lower().split("_", 1)
    assert all(part in text for part in parts)


def test_warnings_are_told_as_they_are_given() -> None:
    assert sorted(set(said.warnings(said.SERVER, said.CLIENT))) == sorted(WARNINGS)


def test_the_contract_names_every_code_of_a_warning_and_no_other() -> None:
    contract = (said.ROOT / "protos/affectstream/v1/affect.proto").read_text(encoding="utf-8")
    (comment,) = re.findall(r"\nmessage Warning \{\n(.*?)string message = 2;", contract, re.DOTALL)
    assert set(re.findall(r"\b[A-Z]+_[A-Z_]+\b", comment)) == set(WARNINGS)


def test_each_says_when() -> None:
    everything = [reason.when for told in (SERVER, BRIDGE, CLIENT) for reason in told.values()]
    assert all(len(text) > 15 and text.endswith(".") for text in (*everything, *WARNINGS.values()))
    retried = [reason for told in (SERVER, BRIDGE, CLIENT) for reason in told.values() if reason.delay]
    assert all(reason.retry for reason in retried)
