"""What a stream says, one frozen dataclass for each kind of event.

Every event carries the envelope: whose it is, its number in the session, and the message
that it was read from. Positions are `AudioTime`: exact nanoseconds, and seconds as a float.
Enumerations that this version does not know stay integers, and so does code that handles them:
`event.status == AffectStatus.OK` is False for such a value, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from affectstream.config import AudioFormat, Channel, Endpointing, Outputs
from affectstream.enums import AffectStatus, CloseReason, SaliencyMethod, Stage, Trigger
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import (
    AudioTime,
    BaselineChange,
    Cue,
    Dimensions,
    EmotionScore,
    Guidance,
    ModelInfo,
    Peak,
    Quality,
    SalientSpan,
    StateShare,
    Timing,
    TrajectoryPoint,
    Uncertainty,
    UserOutput,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The envelope that all events share."""

    session_id: str
    epoch: int
    """Grows by one with each stream of the session, from 1."""
    sequence: int
    """Grows by one with each event of the session, from 1, without holes."""
    server_time: datetime | None
    """The server's clock when the event was handed to the transport, UTC."""
    channel: int | None
    """Channel it is about; None: the whole session."""
    cursor: bytes = field(repr=False)
    """Opaque position for watching; empty where events are not retained."""
    proto: pb.SessionEvent = field(repr=False, compare=False)
    """The message as it came, with fields that this class does not show."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionStarted(Event):
    """The first event of every stream: what is in force, every default filled in."""

    resumed: bool
    next_sequence: int
    accepted_until_samples: int
    """Audio before this position is known: send on from here. Samples at this stream's rate."""
    time_origin: datetime | None
    """The server's clock at position 0 of the timeline."""
    audio: AudioFormat
    channels: tuple[Channel, ...]
    endpointing: Endpointing
    outputs: Outputs
    limits: Mapping[str, int]
    """Each limit's value by its name; `GetServerInfo` has units and consequences."""
    model: ModelInfo | None
    resume_token: bytes = field(repr=False)
    """Secret: whoever holds it can continue the session. Empty where resuming is not served."""
    labels: Mapping[str, str]
    guidance_policy: str = ""
    """Name of the policy that gives events their guidance; empty: they carry none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """How far the server is, in samples at the declared rate."""

    received_until_samples: int
    final_until_samples: int
    """Every utterance that ended before this position has its final event."""
    empty_chunks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted(Event):
    """An utterance began."""

    utterance_id: str
    audio_start: AudioTime
    """Start of the utterance, pre-roll included."""
    speech_start: AudioTime | None
    """Start of the first speech block."""
    continues_utterance_id: str
    barge_in: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechEnded(Event):
    """The endpoint was declared; exactly one final `AffectEvent` follows."""

    utterance_id: str
    audio_start: AudioTime
    audio_end: AudioTime
    speech_end: AudioTime | None
    """End of the last speech block."""
    decidable_at: AudioTime | None
    """The position whose audio made the endpoint decidable."""
    trigger: Trigger | int


@dataclass(frozen=True, slots=True, kw_only=True)
class AffectEvent(Event):
    """How one utterance, or the utterance so far, was said."""

    utterance_id: str
    turn_id: str
    continues_utterance_id: str
    audio_start: AudioTime
    audio_end: AudioTime
    """The scored samples are exactly [audio_start, audio_end)."""
    stage: Stage | int
    trigger: Trigger | int
    status: AffectStatus | int
    emotions: tuple[EmotionScore, ...]
    """The whole distribution in the model's order; empty where there are no values."""
    top_label: str
    dimensions: Dimensions
    uncertainty: Uncertainty | None
    quality: Quality | None
    change: BaselineChange | None
    guidance: Guidance | None
    cues: tuple[Cue, ...]
    saliency: tuple[SalientSpan, ...]
    saliency_method: SaliencyMethod | int
    """How `saliency` was found; 0: there are no spans, or the server does not say."""
    embedding: tuple[float, ...]
    model: ModelInfo | None
    timing: Timing | None
    traceparent: str
    status_detail: str
    """A plain sentence where status is not OK: why, and what helps."""
    text_fused: bool
    """Transcripts were weighed in: `emotions` and what follows from them are of voice and words together."""
    text_weight: float | None
    """Weight that the words had against the voice, 0..1; None: no words."""
    user_outputs: tuple[UserOutput, ...]
    """What users taught the server; empty where it has no such, or no values."""

    @property
    def is_final(self) -> bool:
        """No later event replaces this one."""
        return self.stage == Stage.FINAL

    @property
    def duration(self) -> AudioTime:
        """Length of the scored audio."""
        return self.audio_end - self.audio_start

    @property
    def top_probability(self) -> float | None:
        """Probability of `top_label`, 0..1; None where there are no values."""
        return next((e.probability for e in self.emotions if e.label == self.top_label), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnAffect(Event):
    """The utterances of one turn together, weighted by duration and certainty."""

    turn_id: str
    audio_start: AudioTime
    audio_end: AudioTime
    status: AffectStatus | int
    emotions: tuple[EmotionScore, ...]
    top_label: str
    dimensions: Dimensions
    uncertainty: Uncertainty | None
    utterance_ids: tuple[str, ...]
    guidance: Guidance | None
    model: ModelInfo | None
    timing: Timing | None = None
    """Of the utterance whose final came last: if this event was late, it waited for that."""
    traceparent: str = ""
    """W3C trace context of that utterance's span, where tracing is on."""

    @property
    def top_probability(self) -> float | None:
        """Probability of `top_label`, 0..1; None where there are no values."""
        return next((e.probability for e in self.emotions if e.label == self.top_label), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Warning(Event):  # noqa: A001  the wire's name for it; `events.Warning` where both are needed
    """Something was not as it should be and the stream goes on."""

    code: str
    """Stable, upper case, such as ``"AUDIO_CORRUPT"``."""
    message: str
    field: str
    value: str
    limit: str
    control_id: str = ""
    """The control that has no effect, if it is about one with an id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlDone(Event):
    """A control took effect."""

    control_id: str
    position_samples: int
    """Where it took effect, in samples at the declared rate."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosing(Event):
    """The stream will end: call `end`, or resume elsewhere."""

    reason: CloseReason | int
    grace: AudioTime | None
    """How long the stream goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionSummary(Event):
    """The session in short, before `SessionClosed`."""

    audio: AudioTime | None
    speech: AudioTime | None
    utterances: int
    finals_by_status: Mapping[str, int]
    states: tuple[StateShare, ...]
    mean_dimensions: Dimensions
    peak_utterance_id: str
    """Utterance with the highest arousal."""
    abstained_share: float | None
    """Share of finals that abstained, 0..1."""
    empty_chunks: int
    speculations_used: int
    """Finals whose score was begun before the endpoint."""
    speculations_dropped: int
    """Scores begun before an endpoint that did not come, because speech went on."""
    trajectory: tuple[TrajectoryPoint, ...] = ()
    """Finals with status OK in order, at most 200: where there are more, every second, fourth and so on."""
    peaks: tuple[Peak, ...] = ()
    """Highest and lowest of each dimension that the model gives."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionClosed(Event):
    """The last event of a session, or of a stream whose session may be resumed."""

    reason: CloseReason | int
    open_utterance_id: str
    """An utterance that was open and got no final; empty: none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Gap(Event):
    """Audio is missing: positions inside do not exist."""

    audio_start: AudioTime
    audio_end: AudioTime
