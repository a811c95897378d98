"""The session in short: counts and means that are sent before it closes."""

from __future__ import annotations

from affectstream.contract import DIMENSIONS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.stages.decide import Verdict
from affectstream_server.stages.polar import add_polar
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.timeline import duration
from affectstream_server.trajectory import Trajectory


class Summary:
    """Gathers finals. Means are weighted by the duration of speech."""

    def __init__(self) -> None:
        self._statuses: dict[str, int] = {}
        self._states: dict[str, tuple[int, int]] = {}
        self._sums: dict[str, float] = {}
        self._scored_samples = 0
        self._speech_samples = 0
        self._peak = (-1.0, "")
        self._trajectory = Trajectory()
        self.utterances = 0

    def add(self, event: pb.AffectEvent, verdict: Verdict) -> None:
        """Count one final event."""
        status = pb.AffectStatus.Name(event.status).removeprefix("AFFECT_STATUS_")
        self._statuses[status] = self._statuses.get(status, 0) + 1
        samples = verdict.utterance.bounds.speech_samples
        self._speech_samples += samples
        if event.status != pb.AFFECT_STATUS_OK:
            return
        self._scored_samples += samples
        count, spoken = self._states.get(event.top_label, (0, 0))
        self._states[event.top_label] = (count + 1, spoken + samples)
        for name in DIMENSIONS:
            if event.dimensions.HasField(name):
                self._sums[name] = self._sums.get(name, 0.0) + getattr(event.dimensions, name) * samples
        self._trajectory.add(verdict.utterance.channel, event)
        if event.dimensions.HasField("arousal"):
            self._peak = max(self._peak, (event.dimensions.arousal, event.utterance_id))

    def withhold(self) -> None:
        """Consent was withdrawn: forget every value; the counts stay."""
        self._states.clear()
        self._sums.clear()
        self._scored_samples = 0
        self._peak = (-1.0, "")
        self._trajectory = Trajectory()

    def message(self, heard_samples: int, empty_chunks: int, scoring: ScoringQueue) -> pb.SessionSummary:
        """The event. ``heard_samples`` is the length of the session's audio at 16 kHz."""
        finals = sum(self._statuses.values())
        summary = pb.SessionSummary(
            audio_duration=duration(heard_samples),
            speech_duration=duration(self._speech_samples),
            utterances=self.utterances,
            finals_by_status=self._statuses,
            states=[
                pb.StateShare(label=label, utterances=count, speech_duration=duration(spoken))
                for label, (count, spoken) in sorted(self._states.items())
            ],
            peak_utterance_id=self._peak[1],
            empty_chunks=empty_chunks,
            speculations_used=scoring.used,
            speculations_dropped=scoring.dropped,
        )
        if self._scored_samples:
            for name, total in self._sums.items():
                setattr(summary.mean_dimensions, name, total / self._scored_samples)
            add_polar(summary.mean_dimensions)
        self._trajectory.write(summary)
        if finals:
            summary.abstained_share = self._statuses.get("ABSTAINED", 0) / finals
        return summary
