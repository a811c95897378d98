"""The contract that client, server and models share: labels, tensors, audio and limits.

This module is the one source of truth. The protocol's documentation, the ONNX
metadata, ``labels.txt`` and ``config.pbtxt`` are rendered from it, and the server
compares a loaded model with it before it says that it is ready.

It imports the standard library only, so that a Triton Python backend, a client on a
phone gateway and the trainer can all afford it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

SAMPLE_RATE_HZ: Final = 16_000
"""Rate of the audio that every detector and every model sees, in Hz."""

EMOTIONS: Final = ("neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised")
"""Every emotion label, in the order of MERaLiON-SER's logits. A model serves a prefix or a
subset of it, always in this order."""

DIMENSIONS: Final = ("valence", "arousal", "dominance")
"""Every affect dimension, in the order of MERaLiON-SER's output, each in 0..1."""

BLOCK_SAMPLES: Final = 512
"""Samples at 16 kHz that the voice activity detector decides on at once (32 ms)."""


@dataclass(frozen=True, slots=True)
class Tensor:
    """One tensor of a model: its name, element type and shape without the batch axis."""

    name: str
    """As the model spells it."""
    dtype: str
    """As Triton's protocol spells it: INT16, INT32, FP32."""
    shape: tuple[int, ...]
    """-1 where the length varies."""


AUDIO: Final = Tensor("AUDIO", "INT16", (-1,))
"""Mono waveform at 16 kHz, full scale ±32,768, zero-padded at the end."""
NUM_SAMPLES: Final = Tensor("NUM_SAMPLES", "INT32", (1,))
"""How many samples of AUDIO are real; the rest is padding and changes nothing."""
LOGITS: Final = Tensor("LOGITS", "FP32", (-1,))
"""One calibrated logit for each of the model's labels; softmax gives probabilities."""
DIMS: Final = Tensor("DIMS", "FP32", (-1,))
"""One value in 0..1 for each of the model's dimensions."""
EMBEDDING: Final = Tensor("EMBEDDING", "FP32", (-1,))
"""The layer before the heads, for a user's own probe; not a speaker embedding."""
FRAME_ATTENTION: Final = Tensor("FRAME_ATTENTION", "FP32", (-1,))
"""Optional: how much the model looked at each frame of `ATTENTION_FRAME_SAMPLES` of AUDIO, padding too; 0 or
more. Asked for only where somebody wants to know where the score rests."""
ATTENTION_FRAME_SAMPLES: Final = 320
"""Samples at 16 kHz for each value of FRAME_ATTENTION: 50 a second. The last frame may be a part of one."""

BUCKETS_SAMPLES: Final = (16_000, 32_000, 64_000, 128_000, 256_000, 480_000)
"""Lengths that AUDIO is padded to on its way to an inference server whose model takes any length:
few shapes batch together and are compiled or planned once."""

METADATA_PREFIX: Final = "affectstream."
"""Keys of a model's metadata start with this; see `METADATA_KEYS`."""
METADATA_KEYS: Final = (
    "name",
    "version",
    "labels",
    "dimensions",
    "sample_rate_hz",
    "max_samples",
    "calibrated",
    "card_sha256",
)
"""What a model file says of itself. Lists are comma-separated; booleans are true or false."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds that hold on the wire whatever the settings are. All are reported by GetServerInfo."""

    metadata_bytes: int = 16 * 1024
    """Metadata of a call, a token in it."""
    message_bytes: int = 64 * 1024
    """A message of StreamAffect and of every other call but AnalyzeUtterance."""
    chunk_ms: int = 1_000
    """Audio in a message."""
    labels: int = 16
    """Labels of a session."""
    label_bytes: int = 64
    """Key and value of a label, ids of turns and controls, names of participants."""
    session_id_bytes: int = 64
    """A caller's own id of a session."""
    transcript_bytes: int = 4 * 1024
    """Text of a transcript."""
    utterance_ms: int = 30_000
    """An utterance: a longer one is cut, and the next continues it."""
    session_ms: int = 8 * 3_600_000
    """Audio of a session, over all its streams."""
    stream_age_ms: int = 3_600_000
    """A stream; a resumable session goes on in another."""
    unread_audio_ms: int = 2_000
    """Audio taken from a caller and not heard yet; more stays with the caller."""
    event_queue_bytes: int = 256 * 1024
    """Events of a stream that wait to be read."""
    slow_reader_ms: int = 5_000
    """Time in which nothing of what waits is read."""
    replay_bytes: int = 64 * 1024
    """Events of a resumable session that are kept to be sent again."""
    watchers_per_session: int = 16
    """Watchers of one session, or of one tenant, at one replica."""
    retention_ms: int = 3_600_000
    """Events are retained for watchers at most this long."""
    retention_events: int = 1_000
    """Events of a session that are retained for watchers."""
    analyze_ms: int = 30_000
    """Audio of AnalyzeUtterance."""
    analyze_bytes: int = 10 * 1024 * 1024
    """A message of AnalyzeUtterance."""
    min_sample_rate_hz: int = 8_000
    """Sample rate, at least."""
    max_sample_rate_hz: int = 48_000
    """Sample rate, at most."""
    max_channels: int = 8
    """Interleaved channels of the audio."""


LIMITS: Final = Limits()
