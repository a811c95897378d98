"""Turns: the utterances between turn_started and turn_ended, combined into one turn_affect.

A language model answers a turn, not a piece of it. Each utterance weighs by its speech and by how sure
its score is: ``speech × (1 − entropy)``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from affectstream.contract import DIMENSIONS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.decide import uncertainty
from affectstream_server.stages.polar import add_polar
from affectstream_server.stages.withhold import withhold
from affectstream_server.timeline import duration

_LEAST_WEIGHT = 1e-6
MOST_UNSETTLED: Final = 64
"""Turns that ended and wait for finals."""
MOST_UTTERANCES: Final = 1_000
"""Of one turn; those after it have no turn."""


@dataclass(slots=True)
class _Turn:
    turn_id: str
    start: int
    traceparent: str = ""
    end: int | None = None
    waiting: set[str] = field(default_factory=set)
    finals: list[pb.AffectEvent] = field(default_factory=list)


class Turns:
    """The turns of one session, one open at a time. Positions are samples at 16 kHz."""

    def __init__(self, is_sure: Callable[[str, float], bool] = lambda _label, _probability: True) -> None:
        """``is_sure``: a turn may be acted on that has this label on top, with this probability."""
        self._is_sure = is_sure
        self._open: _Turn | None = None
        self._ended: list[_Turn] = []
        self._of_utterance: dict[str, _Turn] = {}
        self._without: dict[str, int] = {}

    @property
    def open_id(self) -> str:
        """Id of the open turn; empty if none is."""
        return self._open.turn_id if self._open is not None else ""

    @property
    def open_start(self) -> int:
        """Where the open turn began; 0 if none is open."""
        return self._open.start if self._open is not None else 0

    @property
    def ended(self) -> bool:
        """Some turn ended and was not said yet."""
        return bool(self._ended)

    def start(self, turn_id: str, position: int, traceparent: str = "") -> None:
        """Open a turn, with the trace context of its utterances. None may be open."""
        self._open = _Turn(turn_id, position, traceparent)
        for utterance_id, audio_start in tuple(self._without.items()):
            if audio_start >= position:
                del self._without[utterance_id]
                self._join(self._open, utterance_id)

    def end(self, position: int) -> None:
        """End the open turn: utterances that begin later are not its."""
        if self._open is not None:
            self._open.end = position
            self._ended.append(self._open)
            self._open = None

    def began(self, utterance_id: str, audio_start: int) -> None:
        """An utterance began: it is of the turn that holds its start, or of the one opened inside it."""
        for turn in (*self._ended, self._open):
            if turn is not None and (turn.end is None or audio_start < turn.end):
                self._join(turn, utterance_id)
                return
        self._without[utterance_id] = audio_start

    def turn_of(self, utterance_id: str) -> str:
        """Id of an utterance's turn; empty if it has none."""
        turn = self._of_utterance.get(utterance_id)
        return turn.turn_id if turn is not None else ""

    def traceparent_of(self, utterance_id: str) -> str:
        """Trace context of an utterance's turn; empty if it has none."""
        turn = self._of_utterance.get(utterance_id)
        return turn.traceparent if turn is not None else ""

    def add(self, final: pb.AffectEvent) -> None:
        """An utterance has its final."""
        self._without.pop(final.utterance_id, None)
        turn = self._of_utterance.pop(final.utterance_id, None)
        if turn is not None:
            turn.waiting.discard(final.utterance_id)
            kept = pb.AffectEvent()
            kept.CopyFrom(final)
            kept.ClearField("embedding")
            turn.finals.append(kept)

    def withhold(self) -> None:
        """Consent was withdrawn: forget every value that was not said yet."""
        for turn in (*self._ended, self._open):
            for final in turn.finals if turn is not None else ():
                withhold(final)

    @property
    def is_full(self) -> bool:
        """Too many turns wait for their finals."""
        return len(self._ended) >= MOST_UNSETTLED

    def _join(self, turn: _Turn, utterance_id: str) -> None:
        if len(turn.waiting) + len(turn.finals) >= MOST_UTTERANCES:
            return
        turn.waiting.add(utterance_id)
        self._of_utterance[utterance_id] = turn

    def complete(self, settled_until: int) -> list[pb.TurnAffect]:
        """Turns that ended and whose every utterance has its final.

        ``settled_until``: no utterance still to be found begins before this position.
        """
        done = [
            turn
            for turn in self._ended
            if not turn.waiting and turn.end is not None and settled_until >= turn.end
        ]
        if done:
            self._ended = [turn for turn in self._ended if turn not in done]
        return [self._checked(_combine(turn)) for turn in done]

    def _checked(self, event: pb.TurnAffect) -> pb.TurnAffect:
        """Utterances that are sure of different things can make a turn that is not."""
        if event.status == pb.AFFECT_STATUS_OK:
            top = next(e.probability for e in event.emotions if e.label == event.top_label)
            if not self._is_sure(event.top_label, top):
                event.status = pb.AFFECT_STATUS_ABSTAINED
        return event


def _combine(turn: _Turn) -> pb.TurnAffect:
    finals = sorted(turn.finals, key=lambda final: final.audio_start.ToNanoseconds())
    event = pb.TurnAffect(turn_id=turn.turn_id, utterance_ids=[final.utterance_id for final in finals])
    if finals:
        event.audio_start.CopyFrom(finals[0].audio_start)
        event.audio_end.CopyFrom(finals[-1].audio_end)
        event.model.CopyFrom(finals[-1].model)
        completing = turn.finals[-1]
        event.timing.CopyFrom(completing.timing)
        event.traceparent = completing.traceparent
    else:
        event.audio_start.CopyFrom(duration(turn.start))
        event.audio_end.CopyFrom(duration(turn.end or turn.start))
    chosen = [final for final in finals if final.status == pb.AFFECT_STATUS_OK]
    event.status = pb.AFFECT_STATUS_OK
    for status in (pb.AFFECT_STATUS_ABSTAINED, pb.AFFECT_STATUS_LOW_SNR):
        if not chosen:
            chosen = [final for final in finals if final.status == status]
            event.status = status
    if chosen:
        _weigh(event, chosen)
    else:
        event.status = finals[0].status if finals else pb.AFFECT_STATUS_INSUFFICIENT_SPEECH
    return event


def _weigh(event: pb.TurnAffect, finals: list[pb.AffectEvent]) -> None:
    weights = np.array(
        [
            final.quality.speech_duration.ToNanoseconds() / 1e9 * (1.0 - final.uncertainty.entropy)
            for final in finals
        ]
    )
    weights = np.maximum(weights, _LEAST_WEIGHT)
    # A fallback may have scored some of them; its labels are others.
    labels = [tuple(emotion.label for emotion in final.emotions) for final in finals]
    heaviest = max(
        set(labels),
        key=lambda known: sum(w for w, mine in zip(weights, labels, strict=True) if mine == known),
    )
    chosen = [mine == heaviest for mine in labels]
    finals = [final for final, is_chosen in zip(finals, chosen, strict=True) if is_chosen]
    weights = weights[chosen]
    weights /= weights.sum()
    shares = weights @ np.array([[e.probability for e in final.emotions] for final in finals])
    shares /= shares.sum()
    for emotion, share in zip(finals[0].emotions, shares.tolist(), strict=True):
        event.emotions.add(label=emotion.label, probability=share)
    event.top_label = event.emotions[int(shares.argmax())].label
    for name in DIMENSIONS:
        if all(final.dimensions.HasField(name) for final in finals):
            values = np.array([getattr(final.dimensions, name) for final in finals])
            setattr(event.dimensions, name, float(np.clip(weights @ values, 0.0, 1.0)))
    add_polar(event.dimensions)
    # The mean of distributions that are calibrated is not: it is less sure than it may be.
    calibrated = len(finals) == 1 and finals[0].uncertainty.calibrated
    event.uncertainty.CopyFrom(uncertainty(shares, calibrated=calibrated))
