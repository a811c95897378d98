"""Abstain: whether a score may be acted on, by the signal it came from and by how sure it is."""

from __future__ import annotations

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.timeline import ms_of_samples


def standing(
    model: ModelInfo, top_label: str, probability: float, *, snr_db: float | None, speech_samples: int
) -> tuple[pb.AffectStatus.ValueType, str]:
    """Status of a score, and a plain sentence where it is not OK.

    What the audio cannot carry comes before what the model is not sure of. ``speech_samples`` is at 16 kHz.
    """
    if snr_db is not None and model.min_snr_db is not None and snr_db < model.min_snr_db:
        stands = f"speech stands {snr_db:.0f} dB above the noise"
        return pb.AFFECT_STATUS_LOW_SNR, f"{stands}; acted on from {model.min_snr_db:g} dB"
    reasons = []
    speech_ms = ms_of_samples(speech_samples)
    if speech_ms < model.min_speech_ms:
        reasons.append(f"{speech_ms:.0f} ms of speech, acted on from {model.min_speech_ms} ms")
    unsure = doubt(model, top_label, probability)
    if unsure:
        reasons.append(unsure)
    return (pb.AFFECT_STATUS_ABSTAINED if reasons else pb.AFFECT_STATUS_OK), "; ".join(reasons)


def doubt(model: ModelInfo, top_label: str, probability: float) -> str:
    """Why the model is not sure enough of its label to act on it; empty where it is."""
    least = model.abstain_below.get(top_label, 0.0)
    if least > 1:
        return f"{top_label} is never acted on: the model is too seldom right about it"
    return f"{top_label} is acted on from a probability of {least:.2f}" if probability < least else ""
