"""Enumerations of the wire, as integers with names.

A value that this version does not know stays a plain `int`: newer servers add values
without a new version of the protocol. `known(AffectStatus, 42)` is therefore 42.
"""

from __future__ import annotations

from enum import IntEnum
from typing import TypeVar


class AudioEncoding(IntEnum):
    """What the bytes of every chunk are. Samples of several channels are interleaved."""

    LINEAR16 = 1
    """Signed 16-bit little-endian PCM, 2 bytes a sample."""
    FLOAT32 = 2
    """IEEE 754 binary32 little-endian in -1..1, 4 bytes a sample."""
    MULAW = 3
    """ITU-T G.711 mu-law, 1 byte a sample."""
    ALAW = 4
    """ITU-T G.711 A-law, 1 byte a sample."""
    OGG_OPUS = 5
    """An Ogg stream with Opus, cut into chunks anywhere."""
    OPUS_PACKETS = 6
    """One raw Opus packet in each chunk."""

    @property
    def sample_bytes(self) -> int | None:
        """Bytes of one sample of one channel; None for compressed encodings."""
        return {1: 2, 2: 4, 3: 1, 4: 1}.get(self.value)


class SubjectRole(IntEnum):
    """Who speaks on a channel, as far as the law asks."""

    CUSTOMER = 1
    AGENT = 2
    EMPLOYEE = 3
    STUDENT = 4
    OTHER = 5


class EndpointingMode(IntEnum):
    """Who finds the utterances."""

    SERVER = 1
    CALLER = 2
    MIXED = 3


class HangoverPolicy(IntEnum):
    """How the hang-over is chosen."""

    FIXED = 1
    ADAPTIVE = 2


class WatchStart(IntEnum):
    """Where a watch begins that has no cursor."""

    LATEST = 1
    """Only what comes from now on."""
    EARLIEST = 2
    """The oldest event that is retained."""


class ConsentBasis(IntEnum):
    """On what basis the speakers' affect is processed."""

    CONSENT = 1
    CONTRACT = 2
    LEGITIMATE_INTEREST = 3
    NOT_PERSONAL = 4


class Trigger(IntEnum):
    """Why an utterance ended, or why a provisional event was sent."""

    INTERVAL = 1
    SPEECH_ENDED = 2
    MAX_DURATION = 3
    CLIENT_FLUSH = 4
    AUDIO_STALLED = 5
    END_OF_AUDIO = 6
    PAUSE = 7


class Stage(IntEnum):
    """Whether a later event will replace this one."""

    PROVISIONAL = 1
    FINAL = 2


class AffectStatus(IntEnum):
    """Whether an event has values, and if not, why."""

    OK = 1
    ABSTAINED = 2
    INSUFFICIENT_SPEECH = 3
    LOW_SNR = 4
    OVERLOADED = 5
    DEADLINE_EXCEEDED = 6
    CONSENT_WITHHELD = 7
    MODEL_ERROR = 8


class SaliencyMethod(IntEnum):
    """How the spans of `AffectEvent.saliency` were found."""

    OCCLUSION = 1
    """The utterance was scored with one part after another silent; a weight is of what the top label lost."""
    ATTENTION = 2
    """The model says which parts it looked at; a weight is of that, whatever the label."""


class CloseReason(IntEnum):
    """Why a stream or a session ended."""

    END_OF_AUDIO = 1
    ABANDONED = 2
    DRAIN = 3
    STREAM_AGE = 4
    SESSION_AGE = 5
    SLOW_READER = 6
    SUPERSEDED = 7
    ERROR = 8


class Feature(IntEnum):
    """What a server can serve."""

    STREAM = 1
    ANALYZE_UTTERANCE = 2
    WATCH = 3
    RESUME = 4
    CALLER_ENDPOINTING = 5
    ADAPTIVE_HANGOVER = 6
    PROVISIONAL = 7
    SPECULATION = 8
    TURNS = 9
    AGENT_SPEECH = 10
    PAUSE = 11
    EMBEDDING = 12
    CUES = 13
    GUIDANCE = 14
    TRANSCRIPT_FUSION = 15
    OPUS = 16
    MULTIPLE_CHANNELS = 17
    AUDIO_OFFSETS = 18
    CONSENT_WITHDRAWAL = 19
    SUMMARY = 20
    FLUSH = 21
    SALIENCY = 22
    USER_OUTPUTS = 23


E = TypeVar("E", bound=IntEnum)


def known(kind: type[E], value: int) -> E | int:
    """`value` as a member of `kind`, or as the plain integer where this version has no name for it."""
    try:
        return kind(value)
    except ValueError:
        return int(value)


def name_of(value: int) -> str:
    """The name of a member, or the number of a value without one: ``"OK"``, ``"42"``."""
    return value.name if isinstance(value, IntEnum) else str(int(value))
