"""What the card of the embedded model says whatever the seed was."""

from __future__ import annotations

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_models.card import Abstention, Calibration, Card, Measurement
from affectstream_models.embedded import DIMENSIONS, LABELS

NAME = "affect-embedded"
VERSION = "0.1.0"

ABSTENTION = Abstention(min_probability=dict.fromkeys(LABELS, 0.5), min_snr_db=5.0, min_speech_ms=500)


def embedded_card(
    *, seed: int, temperature: float, weights_sha256: str, max_samples: int, measured: tuple[Measurement, ...]
) -> Card:
    """The card of one training run."""
    return Card(
        name=NAME,
        version=VERSION,
        summary=(
            "A demonstrator: four emotions and arousal from German acted speech, calibrated, and meant to "
            "abstain. Valence and dominance are absent."
        ),
        labels=LABELS,
        dimensions=DIMENSIONS,
        sample_rate_hz=SAMPLE_RATE_HZ,
        max_samples=max_samples,
        seed=seed,
        licence="Apache-2.0; trained on CC0-1.0 recordings only",
        data=(
            "Berlin Database of Emotional Speech, F. Burkhardt et al., Interspeech 2005, CC0-1.0: neutral, "
            "happiness, sadness and anger of speakers 03, 08, 09, 10, 11 (train) and 13 (temperature and "
            "choice of seed); speakers 12, 14, 15, 16 were kept for the figures below",
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
        calibration=Calibration(
            temperature=temperature, fitted_on="emodb dev, speaker 13, with altered copies"
        ),
        abstention=ABSTENTION,
        measured=measured,
    )
