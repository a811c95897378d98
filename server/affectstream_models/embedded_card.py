"""What the card of the embedded model says whatever the seed was."""

from __future__ import annotations

from collections.abc import Mapping

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.card import Abstention, Calibration, Card, Measurement
from affectstream_models.embedded import DIMENSIONS, LABELS

NAME = "affect-embedded"
VERSION = "0.2.0"

MIN_SNR_DB = 5.0
MIN_SPEECH_MS = 500


def embedded_card(
    *,
    seed: int,
    calibration: Calibration,
    min_probability: Mapping[str, float],
    weights_sha256: str,
    max_samples: int,
    measured: tuple[Measurement, ...],
) -> Card:
    """The card of one training run."""
    return Card(
        name=NAME,
        version=VERSION,
        summary=(
            "A demonstrator: four emotions and arousal from German acted speech, calibrated, and meant to "
            "abstain. Valence and dominance are absent." + _given_up(min_probability)
        ),
        labels=LABELS,
        dimensions=DIMENSIONS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        max_samples=max_samples,
        seed=seed,
        licence="Apache-2.0; trained on CC0-1.0 recordings only",
        data=(
            "Berlin Database of Emotional Speech, F. Burkhardt et al., Interspeech 2005, CC0-1.0: neutral, "
            "happiness, sadness and anger of speakers 03, 08, 09, 10, 11 (train) and 13 (calibration "
            "and choice of seed); speakers 12, 14, 15, 16 were kept for the figures below",
            "ESC-10 clips that are CC0-1.0 on Freesound, K. J. Piczak, ACM MM 2015: noise in training",
        ),
        languages=("de",),
        groups=(
            "adult actors: 3 men and 2 women in training, 1 woman in dev, 2 men and 2 women in test",
            "no children, no old voices, no accents, no spontaneous speech",
        ),
        intended_use=(
            "trying Affectstream without a GPU, and as the fall-back of a larger model",
            "arousal, and the four emotions where the model does not abstain, as a hint to a dialogue",
        ),
        not_for=(
            "decisions about a person: hiring, schooling, credit, insurance, health, policing, borders",
            "inferring emotions at work or in education, which the EU AI Act prohibits with few exceptions",
            "lie detection, diagnosis, or identifying a speaker",
            "languages, voices and settings that it was not measured on, unless you measure it there",
        ),
        weights_sha256=weights_sha256,
        calibration=calibration,
        abstention=Abstention(
            min_probability=min_probability, min_snr_db=MIN_SNR_DB, min_speech_ms=MIN_SPEECH_MS
        ),
        measured=measured,
    )


def _given_up(min_probability: Mapping[str, float]) -> str:
    """What is said of labels that are never named."""
    labels = [label for label, floor in min_probability.items() if floor > 1]
    if not labels:
        return ""
    return (
        f" It never names {' or '.join(labels)}: among speakers unlike those of training it hears that too "
        "seldom. It abstains where that is the likeliest label, and still reports the probability."
    )
