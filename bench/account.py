"""What a stream's events say: three lags, never mixed, and whether every utterance got its one final."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from google.protobuf.duration_pb2 import Duration

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from bench.histogram import Histogram
from bench.scenario import Schedule

LAGS: Final = (
    "hangover_ms",
    "decision_lag_ms",
    "final_lag_ms",
    "final_lag_hit_ms",
    "final_lag_miss_ms",
    "client_lag_ms",
)
"""End of speech → decidable, in audio time; due time of the deciding sample → declared; declared →
final handed to gRPC, over all, where the score was begun before the endpoint, and where it was not; due
time of the deciding sample → final received by the client."""

IN_TIME_MS: Final = 150
"""Due time of the deciding sample → final received: what counts as goodput."""

_BY_AUDIO: Final = (pb.TRIGGER_SPEECH_ENDED, pb.TRIGGER_MAX_DURATION)
"""Endpoints that a sample decided; the others have no due time that a lag could count from."""


@dataclass(frozen=True, slots=True)
class Heard:
    """An event and when the client received it, on the clock of the schedule."""

    received_ns: int
    event: pb.SessionEvent


@dataclass
class Account:
    """Figures of some streams. Lags are those of endpoints whose due time lies in the window."""

    lags: dict[str, Histogram] = field(default_factory=lambda: {name: Histogram() for name in LAGS})
    declared: int = 0
    """Utterances whose end was declared."""
    delivered: int = 0
    """Utterances with exactly one final."""
    in_time: int = 0
    """Finals of the window that came within `IN_TIME_MS`."""
    statuses: Counter[str] = field(default_factory=Counter)
    scores_used: int = 0
    """Scores begun before an endpoint that became finals."""
    scores_dropped: int = 0
    """Scores begun before an endpoint that did not come."""
    compute_ms: float = 0.0
    """The model's own time, of finals in the window."""
    faults: list[str] = field(default_factory=list)
    """What must not happen, in words."""

    def add_stream(self, stream: int, heard: Sequence[Heard], schedule: Schedule) -> None:
        """Account for all events of one stream, in the order in which they came."""
        ends: dict[str, pb.SessionEvent] = {}
        finals: Counter[str] = Counter()
        closed = False
        for place, one in enumerate(heard, start=1):
            event = one.event
            if event.sequence != place:
                self._fault(stream, f"event {place} has sequence {event.sequence}")
            kind = event.WhichOneof("event")
            if kind == "speech_ended":
                ends[event.speech_ended.utterance_id] = event
            elif kind == "affect" and event.affect.stage == pb.STAGE_FINAL:
                utterance_id = event.affect.utterance_id
                finals[utterance_id] += 1
                if utterance_id not in ends:
                    self._fault(stream, f"{utterance_id}: a final before its end was declared")
                elif finals[utterance_id] == 1:
                    self._add_final(stream, ends[utterance_id], one, schedule)
            elif kind == "session_summary":
                self.scores_used += event.session_summary.speculations_used
                self.scores_dropped += event.session_summary.speculations_dropped
            elif kind == "session_closed":
                closed = event.session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
        self.declared += len(ends)
        for utterance_id in ends:
            count = finals[utterance_id]
            self.delivered += count == 1
            if count != 1:
                self._fault(stream, f"{utterance_id}: {count} finals")
        if not closed:
            self._fault(stream, "no session_closed after the end of audio")

    def _add_final(self, stream: int, ended: pb.SessionEvent, final: Heard, schedule: Schedule) -> None:
        affect = final.event.affect
        self.statuses[pb.AffectStatus.Name(affect.status).removeprefix("AFFECT_STATUS_")] += 1
        end = ended.speech_ended
        due_ns = schedule.due_of_position_ns(stream, _samples(end.decidable_at))
        start_ns, end_ns = schedule.window_ns
        if not start_ns <= due_ns < end_ns:
            return
        self.in_time += final.received_ns - due_ns <= IN_TIME_MS * 1_000_000
        self.compute_ms += affect.timing.compute_ms
        if end.trigger not in _BY_AUDIO:
            return
        declared_ns = ended.server_time.ToNanoseconds()
        emitted_ns = final.event.server_time.ToNanoseconds()
        kind_of_final = "final_lag_hit_ms" if affect.timing.speculated else "final_lag_miss_ms"
        lags_ns = {
            "hangover_ms": end.decidable_at.ToNanoseconds() - end.speech_end.ToNanoseconds(),
            "decision_lag_ms": declared_ns - due_ns,
            "final_lag_ms": emitted_ns - declared_ns,
            kind_of_final: emitted_ns - declared_ns,
            "client_lag_ms": final.received_ns - due_ns,
        }
        for name, lag_ns in lags_ns.items():
            if lag_ns < 0:
                self._fault(stream, f"{end.utterance_id}: {name} is {lag_ns / 1e6:.3f}; do the clocks agree?")
            else:
                self.lags[name].record_ns(lag_ns)

    def _fault(self, stream: int, what: str) -> None:
        self.faults.append(f"stream {stream}: {what}")


def _samples(position: Duration) -> int:
    return round(position.ToNanoseconds() * SAMPLE_RATE_HZ / 1_000_000_000)
