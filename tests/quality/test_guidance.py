"""What the default policy says on real speech of speakers that nothing was chosen on."""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from pathlib import Path

import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.acted import clips, talk
from tests.support.wire import finals, running_server, stream_talk

pytestmark = pytest.mark.timeout(120)
SPEAKERS = {
    "emodb/test": [f"emodb_{number}" for number in (12, 14, 15, 16)],
    "ravdess/test": [f"ravdess_{number}" for number in range(19, 25)],
}
"""German at home, English away."""


async def test_neutral_talk_seldom_triggers_a_rule(speech: Path, figure: Callable[[str], None]) -> None:
    utterances = triggers = 0
    async with running_server() as server:
        for corpus, speakers in SPEAKERS.items():
            for speaker in speakers:
                events = await stream_talk(server.address, talk(clips(speech, "neutral", speaker, corpus)))
                told = [final for final in finals(events) if final.status == pb.AFFECT_STATUS_OK]
                utterances += len(finals(events))
                triggers += sum(
                    name not in ("", "even") for name, _ in groupby(final.guidance.rule for final in told)
                )
    figure(f"guidance: {triggers} false triggers in {utterances} neutral utterances")
    assert utterances >= 50
    assert triggers <= utterances / 50
