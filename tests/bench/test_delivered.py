"""What is measured of guidance is the server's own way of a final."""

from __future__ import annotations

import pytest

from affectstream.v1 import affect_pb2 as pb
from bench.delivered import deliver


@pytest.mark.parametrize(("policy", "is_guided"), [("off", False), ("default", True)])
async def test_finals_are_written_with_guidance_where_it_is_on(policy: str, is_guided: bool) -> None:
    cost_us, written = await deliver(policy, seed=3, finals=40)
    assert cost_us > 0
    events = [pb.StreamAffectResponse.FromString(data).event for data in written]
    assert [event.WhichOneof("event") for event in events] == ["speech_ended", "affect"] * 40
    assert any(event.affect.HasField("guidance") for event in events if event.HasField("affect")) is is_guided
