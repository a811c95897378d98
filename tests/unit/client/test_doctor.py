"""What no real deployment shows on demand: two contracts that differ, and two clocks."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from affectstream.contract import LIMITS
from affectstream.doctor.service import Talk, clock, contract
from affectstream.info import ServerInfo
from affectstream.v1 import affect_pb2 as pb


def said() -> pb.GetServerInfoResponse:
    """What a server of this contract says."""
    return pb.GetServerInfoResponse(
        version="0.1.0",
        models=[pb.Model(name="m", version="1", labels=["neutral", "sad"], dimensions=["arousal"])],
        encodings=[pb.AUDIO_ENCODING_LINEAR16],
        min_sample_rate_hz=8_000,
        max_sample_rate_hz=48_000,
        limits=pb.Limits(limits=[pb.Limit(name="chunk_ms", value=LIMITS.chunk_ms, unit="ms")]),
    )


def test_the_same_contract() -> None:
    assert contract(ServerInfo.from_proto(said())).state == "ok"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda m: m.ClearField("encodings"), "does not take LINEAR16"),
        (lambda m: setattr(m, "max_sample_rate_hz", 8_000), "does not take 16000 Hz"),
        (lambda m: setattr(m.limits.limits[0], "value", 20), "chunk_ms is 20, here 1000"),
        (lambda m: m.models[0].labels.extend(["happy"]), "labels neutral, sad, happy"),
        (lambda m: m.models[0].dimensions.extend(["joy"]), "dimensions joy are not known"),
        (lambda m: m.ClearField("models"), "it has no model"),
    ],
)
def test_contracts_that_differ(change: Callable[[pb.GetServerInfoResponse], None], words: str) -> None:
    message = said()
    change(message)
    finding = contract(ServerInfo.from_proto(message))
    assert finding.state == "fail"
    assert words in finding.said
    assert finding.mend


@pytest.mark.parametrize(
    ("skew_s", "doubt_s", "state"), [(0.5, 0.01, "ok"), (-3, 0.01, "warn"), (3, 2, "ok"), (9, 2, "warn")]
)
def test_clocks_that_differ_by_more_than_the_doubt(skew_s: float, doubt_s: float, state: str) -> None:
    finding = clock(Talk("s", [], timedelta(seconds=skew_s), timedelta(seconds=doubt_s)))
    assert finding.state == state
    assert f"{skew_s:+.3f} s off" in finding.said


def test_a_server_that_tells_no_time() -> None:
    assert clock(Talk("s", [], None, timedelta())).state == "warn"
