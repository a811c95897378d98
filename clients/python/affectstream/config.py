"""What a stream is asked for, and what a server reports back as in force."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from affectstream import tracing
from affectstream.contract import LIMITS
from affectstream.enums import (
    AudioEncoding,
    ConsentBasis,
    EndpointingMode,
    HangoverPolicy,
    SubjectRole,
    known,
)
from affectstream.v1 import affect_pb2 as pb


@dataclass(frozen=True, slots=True, kw_only=True)
class AudioFormat:
    """What the bytes of every chunk are."""

    encoding: AudioEncoding | int = AudioEncoding.LINEAR16
    sample_rate_hz: int = 16_000
    """8000..48000."""
    channel_count: int = 1
    """Interleaved channels, 1..8."""

    @property
    def frame_bytes(self) -> int | None:
        """Bytes of one sample of every channel; None for compressed encodings."""
        known_encoding = known(AudioEncoding, self.encoding)
        size = known_encoding.sample_bytes if isinstance(known_encoding, AudioEncoding) else None
        return None if size is None else size * self.channel_count

    def to_proto(self) -> pb.AudioFormat:
        """The same as a message."""
        return pb.AudioFormat(
            encoding=pb.AudioEncoding.ValueType(self.encoding),
            sample_rate_hz=self.sample_rate_hz,
            channel_count=self.channel_count,
        )

    @classmethod
    def from_proto(cls, message: pb.AudioFormat) -> AudioFormat:
        """The same from a message; a channel count of 0 means 1."""
        return cls(
            encoding=known(AudioEncoding, message.encoding),
            sample_rate_hz=message.sample_rate_hz,
            channel_count=message.channel_count or 1,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Channel:
    """One channel of the audio that is to be analysed, or is said not to be."""

    index: int
    """Position among the interleaved channels, 0 is the first."""
    participant_id: str = ""
    """The caller's own name for who speaks there, up to 64 bytes."""
    subject_role: SubjectRole | int = 0
    """Employees and students are refused by default."""
    analyze: bool = True

    def to_proto(self) -> pb.ChannelConfig:
        """The same as a message."""
        return pb.ChannelConfig(
            index=self.index,
            participant_id=self.participant_id,
            subject_role=pb.SubjectRole.ValueType(self.subject_role),
            analyze=self.analyze,
        )

    @classmethod
    def from_proto(cls, message: pb.ChannelConfig) -> Channel:
        """The same from a message."""
        return cls(
            index=message.index,
            participant_id=message.participant_id,
            subject_role=known(SubjectRole, message.subject_role),
            analyze=message.analyze,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpointing:
    """How utterances are found. None: the server's default."""

    mode: EndpointingMode | int | None = None
    hangover_policy: HangoverPolicy | int | None = None
    speech_threshold: float | None = None
    """Speech probability from which a block counts as speech, 0..1 exclusive."""
    silence_threshold: float | None = None
    """Below it a block of an open utterance counts as silence, 0..speech_threshold."""
    min_speech_ms: int | None = None
    """Speech needed before an utterance is declared started, 0..1000."""
    hangover_ms: int | None = None
    """Silence after which the endpoint is declared, 32..5000."""
    pre_roll_ms: int | None = None
    """Audio before the first speech block that belongs to the utterance, 0..1000."""
    post_roll_ms: int | None = None
    """Audio after the last speech block that belongs to the utterance, 0..1000."""
    max_utterance_ms: int | None = None
    """An utterance is cut here and the next continues it, 1000..30000."""
    min_utterance_ms: int | None = None
    """Below this much speech the final event says INSUFFICIENT_SPEECH, 0..5000."""
    stall_ms: int | None = None
    """Wall clock without audio after which an open utterance ends, 100..60000."""

    def to_proto(self) -> pb.EndpointingConfig:
        """The same as a message; what is None stays unset."""
        message = pb.EndpointingConfig()
        for item in fields(self):
            value = getattr(self, item.name)
            if value is not None:
                setattr(message, item.name, value)
        return message

    @classmethod
    def from_proto(cls, message: pb.EndpointingConfig) -> Endpointing:
        """The same from a message; what is unset is None."""
        numbers = {
            item.name: getattr(message, item.name)
            for item in fields(cls)
            if item.name not in {"mode", "hangover_policy"} and message.HasField(item.name)  # type: ignore[arg-type]
        }
        return cls(
            mode=known(EndpointingMode, message.mode) or None,
            hangover_policy=known(HangoverPolicy, message.hangover_policy) or None,
            **numbers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outputs:
    """What is wanted beside one final event for each utterance."""

    provisional_interval_ms: int | None = None
    """Provisional events of a long utterance at this interval of audio, 250..10000; None: none."""
    embedding: bool = False
    cues: bool = False
    """Acoustic cues; `affectstream.cues.describe` says them in words."""
    progress_interval_ms: int | None = None
    """`Progress` at this interval of audio, 100..60000; None: the server's default."""
    saliency: bool = False
    """The spans of the utterance that weighed most."""

    def to_proto(self) -> pb.OutputConfig:
        """The same as a message; what is None stays unset."""
        return pb.OutputConfig(
            provisional_interval_ms=self.provisional_interval_ms,
            embedding=self.embedding,
            cues=self.cues,
            progress_interval_ms=self.progress_interval_ms,
            saliency=self.saliency,
        )

    @classmethod
    def from_proto(cls, message: pb.OutputConfig) -> Outputs:
        """The same from a message; what is unset is None."""
        return cls(
            provisional_interval_ms=message.provisional_interval_ms
            if message.HasField("provisional_interval_ms")
            else None,
            embedding=message.embedding,
            cues=message.cues,
            progress_interval_ms=message.progress_interval_ms
            if message.HasField("progress_interval_ms")
            else None,
            saliency=message.saliency,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """Everything that a stream is asked for. The server checks it and says what is wrong."""

    audio: AudioFormat = field(default_factory=AudioFormat)
    channels: tuple[Channel, ...] = ()
    """Empty: channel 0, if it is the only one. More than one channel needs this list."""
    session_id: str = ""
    """1..64 characters of A-Z a-z 0-9 . _ -; empty: the server makes an unguessable one."""
    endpointing: Endpointing = field(default_factory=Endpointing)
    outputs: Outputs = field(default_factory=Outputs)
    language_code: str = ""
    """BCP 47 tag of the language spoken, a hint; empty: not known."""
    consent_basis: ConsentBasis | int = 0
    """A server can be set to require one; 0: not stated."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """The caller's own marks, at most 16; put no personal data here."""
    model: str = ""
    """Name of a model that `server_info` lists; empty: the server's choice."""
    coalesce_ms: int | None = None
    """Audio that this side gathers into one message, 0..1000; 0: every `send` goes out at once; None: as
    much as costs no latency that matters, see `affectstream.outbox`. The server is not told."""
    traceparent: str = ""
    """W3C trace context below which the server's spans stand; empty: that of OpenTelemetry's current span
    where the stream is entered, if there is one."""

    def __post_init__(self) -> None:
        """Raises `ValueError` where `coalesce_ms` is out of range, or `traceparent` is none."""
        tracing.check(self.traceparent)
        if self.coalesce_ms is not None and not 0 <= self.coalesce_ms <= LIMITS.chunk_ms:
            raise ValueError(f"coalesce_ms is {self.coalesce_ms}, the limit is 0..{LIMITS.chunk_ms}")

    def to_proto(self) -> pb.SessionConfig:
        """The same as a message."""
        return pb.SessionConfig(
            session_id=self.session_id,
            audio=self.audio.to_proto(),
            channels=[channel.to_proto() for channel in self.channels],
            endpointing=self.endpointing.to_proto(),
            outputs=self.outputs.to_proto(),
            language_code=self.language_code,
            consent_basis=pb.ConsentBasis.ValueType(self.consent_basis),
            labels=self.labels,
            model=self.model,
        )
