"""One verdict for each utterance, in order, whatever the scorer does; and what each is worth."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.observer import SessionObserver
from affectstream_server.scoring.load import Load, Ticket
from affectstream_server.scoring.scorer import (
    ModelFault,
    ModelInfo,
    Score,
    ScorerOverloaded,
    ScoreTooLate,
    ScoringError,
    checked_score,
    softmax,
)
from affectstream_server.stages.decide import TooShort, Verdict, affect_event
from affectstream_server.stages.decode import Samples
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.stages.segment import Ended, Trigger
from affectstream_server.utterance import Utterance

MODEL = ModelInfo(
    name="m",
    version="1",
    labels=("neutral", "happy", "sad", "angry"),
    dimensions=("arousal",),
    digest="d",
    precision="fp32",
    max_samples=480_000,
    calibrated=True,
    embedding_size=2,
    abstain_below={"happy": 0.9},
)


def utterance(number: int, speech: int = 16_000) -> Utterance:
    start = number * 100_000
    bounds = Ended(start, start + 20_000, start + 18_000, speech, start + 22_000, Trigger.SPEECH_ENDED)
    return Utterance(
        f"u{number}",
        "",
        0,
        bounds,
        np.zeros(20_000, np.int16),
        barge_in=False,
        decision_ms=4.0,
    )


def score(logits: list[float], arousal: float = 0.25) -> Score:
    values = np.array(logits, np.float32)
    return checked_score(
        MODEL,
        values,
        np.array([arousal], np.float32),
        np.array([1, 2], np.float32),
        compute_ms=2.0,
        queue_ms=1.0,
    )


class ScriptedScorer:
    """Answers as a script says: utterance id → seconds to wait, and what then."""

    model = MODEL

    def __init__(self, script: dict[str, tuple[float, Score | Exception]]) -> None:
        self.script = script
        self.asked: list[str] = []
        self.cancelled: list[str] = []

    async def score(
        self,
        utterance_id: str,
        audio: Samples,
        timeout_s: float,
        ticket: Ticket | None = None,  # noqa: ARG002
    ) -> Score:
        assert audio.dtype == np.int16
        assert 0.5 < timeout_s <= 1.0, "what is left of the deadline"
        self.asked.append(utterance_id)
        wait_s, answer = self.script[utterance_id]
        try:
            await asyncio.sleep(wait_s)
        except asyncio.CancelledError:
            self.cancelled.append(utterance_id)
            raise
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def close(self) -> None:
        return


def queue(scorer: ScriptedScorer, deliver: Callable[[Verdict], None]) -> ScoringQueue:
    return ScoringQueue(
        scorer, Load(4).share(), deadline_ms=1_000, deliver=deliver, deliver_provisional=lambda *_: None
    )


async def test_verdicts_come_in_the_order_of_utterances_not_of_scores() -> None:
    script: dict[str, tuple[float, Score | Exception]] = {
        "u0": (0.03, score([1, 0, 0, 0])),
        "u1": (0.0, ScoreTooLate("late")),
        "u2": (0.01, score([0, 0, 0, 1])),
    }
    verdicts: list[Verdict] = []
    scoring = queue(ScriptedScorer(script), verdicts.append)
    for number in range(3):
        scoring.submit(utterance(number))
    await scoring.drained()
    assert [v.utterance.utterance_id for v in verdicts] == ["u0", "u1", "u2"]
    assert isinstance(verdicts[1].failure, ScoreTooLate)
    assert len(scoring) == 0


async def test_nothing_is_settled_from_where_the_first_utterance_begins_that_waits() -> None:
    """Of two channels, the one that began later may be declared first."""
    script: dict[str, tuple[float, Score | Exception]] = {
        "u2": (0.0, score([1, 0, 0, 0])),
        "u1": (0.01, score([1, 0, 0, 0])),
    }
    scoring = queue(ScriptedScorer(script), lambda _: None)
    seen = [scoring.unsettled_from]
    for number in (2, 1):
        scoring.submit(utterance(number))
        seen.append(scoring.unsettled_from)
    await scoring.drained()
    seen.append(scoring.unsettled_from)
    starts = [utterance(number).bounds.audio_start for number in (2, 1)]
    assert seen == [None, *starts, None]


async def test_the_scorer_is_asked_under_the_id_that_may_be_told() -> None:
    """It goes on to logs, and to inference servers and theirs."""
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"told0": (0.0, score([1, 0, 0, 0]))})
    scoring = queue(scorer, verdicts.append)
    scoring.observer = SessionObserver("u", "told")
    scoring.submit(utterance(0))
    await scoring.drained()
    assert scorer.asked == ["told0"]
    assert verdicts[0].utterance.utterance_id == "u0", "its caller's event has the id as it was"


async def test_a_refused_utterance_is_not_asked_about() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({})
    scoring = queue(scorer, verdicts.append)
    scoring.submit(utterance(0), TooShort("short"))
    await scoring.drained()
    assert isinstance(verdicts[0].failure, TooShort)
    assert not scorer.asked


async def test_a_scorer_that_breaks_in_a_new_way_still_gives_a_verdict(
    caplog: pytest.LogCaptureFixture,
) -> None:
    verdicts: list[Verdict] = []
    scoring = queue(ScriptedScorer({"u0": (0, ValueError("secret detail"))}), verdicts.append)
    scoring.submit(utterance(0))
    await scoring.drained()
    assert isinstance(verdicts[0].failure, ModelFault)
    assert "secret" not in str(verdicts[0].failure)
    assert "u0" in caplog.text


async def test_closing_cancels_what_is_asked_and_delivers_nothing() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"u0": (10, score([1, 0, 0, 0]))})
    scoring = queue(scorer, verdicts.append)
    scoring.submit(utterance(0))
    await asyncio.sleep(0.01)
    scoring.close()
    await asyncio.sleep(0.01)
    assert scorer.cancelled == ["u0"]
    assert not verdicts


async def test_a_score_begun_ahead_is_the_final_when_the_bounds_hold() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"u0": (0.0, score([1, 0, 0, 0]))})
    scoring = queue(scorer, verdicts.append)
    scoring.speculate(utterance(0))
    await asyncio.sleep(0.01)
    scoring.submit(utterance(0))
    assert len(verdicts) == 1, "delivered at once"
    assert verdicts[0].speculated
    assert scorer.asked == ["u0"], "and asked once"
    assert (scoring.used, scoring.dropped) == (1, 0)


async def test_a_score_begun_ahead_and_not_ready_is_waited_for() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"u0": (0.02, score([1, 0, 0, 0]))})
    scoring = queue(scorer, verdicts.append)
    scoring.speculate(utterance(0))
    scoring.submit(utterance(0))
    assert not verdicts
    await scoring.drained()
    assert verdicts[0].speculated
    assert scorer.asked == ["u0"]


async def test_a_score_of_other_bounds_is_dropped_and_asked_anew() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"u0": (0.0, score([1, 0, 0, 0]))})
    scoring = queue(scorer, verdicts.append)
    scoring.speculate(utterance(0))
    longer = utterance(0)
    scoring.submit(replace(longer, bounds=replace(longer.bounds, audio_end=longer.bounds.audio_end + 512)))
    await scoring.drained()
    assert not verdicts[0].speculated
    assert (scoring.used, scoring.dropped) == (0, 1)


async def test_a_score_begun_ahead_that_failed_is_asked_anew() -> None:
    verdicts: list[Verdict] = []
    scorer = ScriptedScorer({"u0": (0.0, ScorerOverloaded("full"))})
    scoring = queue(scorer, verdicts.append)
    scoring.speculate(utterance(0))
    await asyncio.sleep(0.01)
    scorer.script["u0"] = (0.0, score([1, 0, 0, 0]))
    scoring.submit(utterance(0))
    await scoring.drained()
    assert verdicts[0].score is not None
    assert not verdicts[0].speculated


async def test_speech_that_goes_on_drops_the_score_or_makes_it_provisional() -> None:
    provisional: list[str] = []
    scorer = ScriptedScorer({"u0": (0.005, score([1, 0, 0, 0]))})
    scoring = ScoringQueue(
        scorer,
        Load(4).share(),
        deadline_ms=1_000,
        deliver=lambda _: None,
        deliver_provisional=lambda _, trigger: provisional.append(trigger),
    )
    scoring.speculate(utterance(0))
    await asyncio.sleep(0)
    scoring.speech_went_on(0, provisional=False)
    await asyncio.sleep(0.02)
    assert scorer.cancelled == ["u0"]
    assert not provisional
    scoring.speculate(utterance(0))
    scoring.speech_went_on(0, provisional=True)
    await asyncio.sleep(0.02)
    assert provisional == ["PAUSE"]
    scoring.score_so_far(utterance(0))
    scoring.submit(utterance(0), TooShort("the final comes first"))
    await asyncio.sleep(0.02)
    assert provisional == ["PAUSE"], "nothing provisional after the final"


async def test_load_counts_what_is_in_flight() -> None:
    load = Load(1).share()
    scorer = ScriptedScorer({"u0": (0.01, score([1, 0, 0, 0]))})
    scoring = ScoringQueue(
        scorer, load, deadline_ms=1_000, deliver=lambda _: None, deliver_provisional=lambda *_: None
    )
    seen = [load.has_room]
    scoring.submit(utterance(0))
    await asyncio.sleep(0)
    seen.append(load.has_room)
    await scoring.drained()
    assert [*seen, load.has_room] == [True, False, True]


def verdict(answer: Score | ScoringError) -> Verdict:
    ok = isinstance(answer, Score)
    return Verdict(utterance(0), answer if ok else None, None if ok else answer, 0.0, queue_ms=3.0)  # type: ignore[arg-type]


def test_an_event_says_all_that_is_known_and_nothing_that_is_not() -> None:
    event = affect_event(verdict(score([0, 0, 0, 5])), MODEL, embedding=False)
    assert event.status == pb.AFFECT_STATUS_OK
    assert event.top_label == "angry"
    assert [e.label for e in event.emotions] == list(MODEL.labels)
    assert sum(e.probability for e in event.emotions) == pytest.approx(1)
    assert event.dimensions.arousal == 0.25
    assert not event.dimensions.HasField("valence")
    assert not event.dimensions.HasField("dominance")
    assert not event.embedding
    assert event.uncertainty.calibrated
    assert event.timing.hangover_ms == pytest.approx((22_000 - 18_000) / 16)
    assert (event.timing.decision_ms, event.timing.queue_ms, event.timing.compute_ms) == (4.0, 3.0, 2.0)
    assert not event.timing.HasField("inference_queue_ms")
    assert event.quality.speech_ratio == pytest.approx(0.8)


@pytest.mark.parametrize(
    ("logits", "entropy", "margin"),
    [([0, 0, 0, 0], 1.0, 0.0), ([0, 50, 0, 0], 0.0, 1.0), ([5, 5, -50, -50], 0.5, 0.0)],
)
def test_uncertainty_is_between_sure_and_clueless(logits: list[float], entropy: float, margin: float) -> None:
    event = affect_event(verdict(score(logits)), MODEL, embedding=False)
    assert event.uncertainty.entropy == pytest.approx(entropy, abs=1e-4)
    assert event.uncertainty.margin == pytest.approx(margin, abs=1e-4)


def test_a_label_below_its_threshold_abstains_and_keeps_its_values() -> None:
    sure = affect_event(verdict(score([0, 5, 0, 0])), MODEL, embedding=False)
    unsure = affect_event(verdict(score([0, 1.5, 0, 0])), MODEL, embedding=False)
    assert sure.status == pb.AFFECT_STATUS_OK
    assert unsure.status == pb.AFFECT_STATUS_ABSTAINED
    assert "0.90" in unsure.status_detail
    assert len(unsure.emotions) == 4


@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (TooShort("t"), pb.AFFECT_STATUS_INSUFFICIENT_SPEECH),
        (ScorerOverloaded("o"), pb.AFFECT_STATUS_OVERLOADED),
        (ScoreTooLate("l"), pb.AFFECT_STATUS_DEADLINE_EXCEEDED),
        (ModelFault("f"), pb.AFFECT_STATUS_MODEL_ERROR),
    ],
)
def test_a_failure_has_a_status_a_reason_and_no_values(
    failure: ScoringError, status: pb.AffectStatus.ValueType
) -> None:
    event = affect_event(verdict(failure), MODEL, embedding=True)
    assert (event.status, event.status_detail) == (status, str(failure))
    assert not event.emotions
    assert not event.HasField("dimensions")
    assert not event.HasField("uncertainty")
    assert event.stage == pb.STAGE_FINAL


@pytest.mark.fault("wrong answers")
@pytest.mark.parametrize(
    ("logits", "arousal", "message"),
    [
        ([1.0, 2.0, 3.0], 0.5, "LOGITS has shape"),
        ([1.0, float("nan"), 0.0, 0.0], 0.5, "not finite"),
        ([1.0, 0.0, 0.0, 0.0], float("inf"), "not finite"),
        ([1.0, 0.0, 0.0, 0.0], 1.01, "outside 0..1"),
    ],
)
def test_an_answer_that_cannot_be_right_is_discarded(
    logits: list[float], arousal: float, message: str
) -> None:
    with pytest.raises(ModelFault, match=message):
        score(logits, arousal)


def test_softmax_bears_large_logits() -> None:
    np.testing.assert_allclose(softmax(np.array([1e4, 1e4, -1e4], np.float32)), [0.5, 0.5, 0.0])
