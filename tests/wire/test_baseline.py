"""Against the speaker's own baseline and over a whole session, on real acted speech through a real server."""

from __future__ import annotations

import asyncio
from pathlib import Path

import grpc
import numpy as np
import pytest
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.baseline import LEAST_UTTERANCES
from tests.support.acted import clips, talk
from tests.support.wire import END, Request, chunks, config, converse, finals, of_kind, running_server
from tests.wire.resuming import calling

SECOND = 16_000


@pytest.fixture(scope="module")
def calm_then_angry(speech: Path) -> NDArray[np.int16]:
    """Seven neutral utterances of one speaker, then three angry ones."""
    return talk(
        [*clips(speech, "neutral", "emodb_15")[:7], *clips(speech, "angry", "emodb_15")[:3]],
    )


def acted_on(events: list[pb.SessionEvent]) -> list[pb.AffectEvent]:
    return [final for final in finals(events) if final.status == pb.AFFECT_STATUS_OK]


async def test_anger_stands_out_against_what_was_usual_before(
    server_address: str, calm_then_angry: NDArray[np.int16]
) -> None:
    events = await converse(server_address, [config(), *chunks(calm_then_angry.tobytes()), END])
    told = acted_on(events)
    assert [final.change.utterances for final in told] == list(range(len(told)))
    assert not told[0].HasField("change")
    assert all(not final.change.HasField("arousal") for final in told[:LEAST_UTTERANCES])
    angry = [final for final in told if final.top_label == "angry"]
    calm = [final for final in told[LEAST_UTTERANCES:] if final.top_label == "neutral"]
    assert len(angry) >= 2
    assert angry[0].change.arousal > 3
    assert angry[0].change.arousal_step == pytest.approx(
        angry[0].dimensions.arousal - told[told.index(angry[0]) - 1].dimensions.arousal, abs=1e-6
    )
    assert all(abs(final.change.arousal) < 3 for final in calm)
    assert not any(final.change.HasField("valence") for final in told), "absent, not zero"

    (summary,) = of_kind(events, "session_summary")
    assert [point.utterance_id for point in summary.trajectory] == [final.utterance_id for final in told]
    assert [point.dimensions.arousal for point in summary.trajectory] == [
        final.dimensions.arousal for final in told
    ]
    highest, lowest = summary.peaks
    levels = {final.utterance_id: final.dimensions.arousal for final in told}
    assert (highest.utterance_id, highest.value) == max(levels.items(), key=lambda item: item[1])
    assert (lowest.utterance_id, lowest.value) == min(levels.items(), key=lambda item: item[1])
    assert (highest.highest, lowest.highest) == (True, False)


async def test_the_baseline_goes_on_over_a_lost_line(calm_then_angry: NDArray[np.int16]) -> None:
    data = calm_then_angry.tobytes()
    async with running_server() as server:
        whole = await converse(server.address, [config(), *chunks(data), END])
        half = len(calm_then_angry) // 2
        async with calling(server.address, config(resumable=True)) as call:
            await call.send(chunks(data[: 2 * half]))
            await call.until(lambda events: len(acted_on(events)) > 2)
            (session,) = server.pipeline.sessions
            async with asyncio.timeout(30):
                while session.hearing.frames < half:
                    await asyncio.sleep(0.005)
        async with calling(server.address, call.next(offset=half)) as second:
            await second.send([*chunks(data[2 * half :]), END])
            await second.call.done_writing()
            assert await second.to_the_end() is grpc.StatusCode.OK
    sequences = {event.sequence: event for event in (*call.events, *second.events)}
    told = acted_on([sequences[number] for number in sorted(sequences)])
    assert [final.change for final in told] == [final.change for final in acted_on(whole)]
    assert [final.guidance for final in told] == [final.guidance for final in acted_on(whole)]


async def test_withdrawn_consent_takes_changes_and_the_way_along(
    server_address: str, calm_then_angry: NDArray[np.int16]
) -> None:
    withdrawn = Request(control=pb.Control(consent_withdrawn=pb.ConsentWithdrawn()))
    data = calm_then_angry.tobytes()
    half = len(calm_then_angry) // 2 * 2
    events = await converse(
        server_address, [config(), *chunks(data[:half]), withdrawn, *chunks(data[half:]), END]
    )
    after = [final for final in finals(events) if final.status == pb.AFFECT_STATUS_CONSENT_WITHHELD]
    assert after
    assert not any(final.HasField("change") for final in after)
    (summary,) = of_kind(events, "session_summary")
    assert not summary.trajectory
    assert not summary.peaks
