"""The parts that events are made of, as frozen values.

A number that may be None is one that this server or this model did not give: never zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

NS_PER_S: Final = 1_000_000_000


@dataclass(frozen=True, slots=True, order=True)
class AudioTime:
    """A position on the session's timeline, or a length of audio. Exact."""

    ns: int
    """Nanoseconds."""

    @property
    def seconds(self) -> float:
        """The same in seconds."""
        return self.ns / NS_PER_S

    def samples(self, rate_hz: int) -> int:
        """The same in sample frames at `rate_hz`; exact for positions that came from that rate."""
        return (self.ns * rate_hz + NS_PER_S // 2) // NS_PER_S

    def __sub__(self, earlier: AudioTime) -> AudioTime:
        return AudioTime(self.ns - earlier.ns)

    def __str__(self) -> str:
        return f"{self.seconds:.3f} s"


@dataclass(frozen=True, slots=True)
class EmotionScore:
    """One label of the model and its probability, 0..1."""

    label: str
    probability: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Polar:
    """Valence and arousal as an angle and a distance from the middle."""

    angle_degrees: float
    """From the positive valence axis towards positive arousal, 0..360."""
    intensity: float
    """Distance from the middle over its largest value, 0..1."""
    octant: int
    """1..8: the octant of the angle, 1 is 0..45 degrees."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Dimensions:
    """Levels, each 0..1; None: this model does not give it."""

    valence: float | None = None
    arousal: float | None = None
    dominance: float | None = None
    polar: Polar | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Uncertainty:
    """How sure the model is."""

    entropy: float | None
    """0 (one label) .. 1 (all alike)."""
    margin: float | None
    """Probability of the first label minus that of the second, 0..1."""
    calibrated: bool
    """The probabilities were calibrated on held-out speech."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Quality:
    """What the audio was like."""

    speech: AudioTime | None
    """Speech within the utterance."""
    speech_ratio: float | None
    """Speech over the whole utterance, 0..1."""
    snr_db: float | None
    """Estimated level of speech over noise."""
    clipped: bool
    truncated: bool
    """Cut at the maximum length."""
    barge_in: bool
    clipped_ratio: float | None = None
    """Share of the samples at full scale or beyond, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BaselineChange:
    """Against this speaker's running baseline, in standard deviations; and since their utterance before."""

    valence: float | None
    arousal: float | None
    dominance: float | None
    utterances: int
    """Utterances in the baseline so far."""
    valence_step: float | None = None
    """Level minus that of the speaker's utterance before this, -1..1; None: nothing was scored before."""
    arousal_step: float | None = None
    """As `valence_step`."""
    dominance_step: float | None = None
    """As `valence_step`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Advice for the wording of a reply."""

    text: str
    """One sentence that is safe to put into a prompt."""
    style_tags: tuple[str, ...]
    rule: str = ""
    """Name of the policy's rule that spoke."""
    language_code: str = ""
    """BCP 47 tag of the language of `text`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cue:
    """One measured property of the voice."""

    name: str
    value: float
    unit: str
    z_score: float | None
    """Against the speaker's baseline, in standard deviations; None: it is too short."""
    salient_value: float | None = None
    """Inside the salient spans; None: there are none, or there is too little to measure."""
    other_value: float | None = None
    """Outside of them."""
    salient_z_score: float | None = None
    """`salient_value` against the speaker's baseline, in standard deviations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SalientSpan:
    """A span of the utterance that weighed most in the score."""

    audio_start: AudioTime
    audio_end: AudioTime
    weight: float
    """Share of the whole weight, 0..1."""


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOutput:
    """An answer that a user taught the server, beside the model's own."""

    name: str
    scores: tuple[EmotionScore, ...]
    """Every label of it in order; they sum to 1."""
    top_label: str

    @property
    def top_probability(self) -> float | None:
        """Of `top_label`; None where there is none."""
        return next((score.probability for score in self.scores if score.label == self.top_label), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class UserOutputInfo:
    """An output that a user taught the server."""

    name: str
    labels: tuple[str, ...]
    clips: int
    """It was taught with."""
    cross_validated_uar: float | None
    """Mean recall over its labels in cross-validation on those clips, 0..1."""
    digest: str
    """SHA-256 of its file, hexadecimal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What makes the scores."""

    name: str
    version: str
    labels: tuple[str, ...]
    """In the order of the distribution."""
    dimensions: tuple[str, ...]
    """Those it gives, of valence, arousal, dominance."""
    digest: str
    """SHA-256 of the model file, hexadecimal."""
    precision: str
    max_audio_ms: int
    calibrated: bool
    embedding_size: int
    """0: it gives no embedding."""
    fallback: bool
    """Used because the first choice could not answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """Where the time went, in ms; None: no such stage."""

    hangover_ms: float | None
    """End of speech to the sample that makes the endpoint decidable, in audio time."""
    decision_ms: float | None
    """Arrival of that sample to the endpoint declared."""
    queue_ms: float | None
    inference_queue_ms: float | None
    compute_ms: float | None
    decide_ms: float | None
    speculated: bool
    """The score was ready when the endpoint was declared."""
    explain_ms: float | None = None
    """What the final waited for cues and saliency; None: neither was asked for."""

    @property
    def server_ms(self) -> float | None:
        """All of the server's stages together, without the hang-over; None where none is given."""
        stages = (
            self.decision_ms,
            self.queue_ms,
            self.inference_queue_ms,
            self.compute_ms,
            self.explain_ms,
            self.decide_ms,
        )
        given = [stage for stage in stages if stage is not None]
        return sum(given) if given else None


@dataclass(frozen=True, slots=True, kw_only=True)
class StateShare:
    """Time spent with one top label."""

    label: str
    speech: AudioTime | None
    utterances: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TrajectoryPoint:
    """One scored utterance on the way of a session."""

    utterance_id: str
    channel: int
    audio_end: AudioTime
    top_label: str
    dimensions: Dimensions


@dataclass(frozen=True, slots=True, kw_only=True)
class Peak:
    """Where a dimension was highest or lowest."""

    dimension: str
    highest: bool
    """Of the session; else lowest."""
    utterance_id: str
    value: float
    """The level, 0..1."""
