"""The names of the client's enumerations are the wire's."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import pytest

from affectstream import enums
from affectstream.v1 import affect_pb2 as pb

KINDS = [
    kind
    for kind in vars(enums).values()
    if isinstance(kind, type) and issubclass(kind, IntEnum) and kind is not IntEnum
]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_members_are_those_of_the_proto(kind: type[IntEnum]) -> None:
    wire: Any = getattr(pb, kind.__name__)
    prefix = next(name for name, number in wire.items() if number == 0).removesuffix("UNSPECIFIED")
    assert {member.name: member.value for member in kind} == {
        name.removeprefix(prefix): number for name, number in wire.items() if number
    }


def test_unknown_values_stay_as_they_are() -> None:
    assert enums.known(enums.AffectStatus, 1) is enums.AffectStatus.OK
    assert enums.known(enums.AffectStatus, 4242) == 4242
    assert enums.known(enums.AffectStatus, 4242) != enums.AffectStatus.OK
    assert enums.name_of(enums.AffectStatus.LOW_SNR) == "LOW_SNR"
    assert enums.name_of(4242) == "4242"


def test_sample_sizes() -> None:
    sizes = {encoding.name: encoding.sample_bytes for encoding in enums.AudioEncoding}
    assert sizes == {
        "LINEAR16": 2,
        "FLOAT32": 4,
        "MULAW": 1,
        "ALAW": 1,
        "OGG_OPUS": None,
        "OPUS_PACKETS": None,
    }
