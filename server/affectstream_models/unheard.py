"""What the embedded model says of speakers it never heard: `python -m affectstream_models.unheard OUT`.

Every two of the training speakers by heads that were trained on the other three, at the shipped temperature;
the dev speaker by heads that were trained on all five. One row a clip, condition and hearing, for choosing
what follows from scores (thresholds, baselines, guidance) without touching a test speaker. Takes about five
minutes of one core.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from affectstream_models.augment import add_noise, crop, draw_noise, to_int16
from affectstream_models.card import read_card
from affectstream_models.crossfit import held_out_speakers
from affectstream_models.dataset import Clip, Waveform, audio_folder, read_manifest, select
from affectstream_models.embedded import LABELS, Heads
from affectstream_models.fit import Recipe, fit_heads
from affectstream_models.listen import listen
from affectstream_server.stages.quality import snr_db

BUNDLED = Path(__file__).parents[1] / "affectstream_server" / "models" / "affect_embedded"
COPIES = 24
NOISY_DB = (20, 10, 5, 0)
SHORT_MS = (300, 400, 500, 750, 1_000)


def main() -> None:
    """Write a tab-separated table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="file to write")
    parser.add_argument("--audio", type=Path, metavar="DIR", help="as of affectstream-models train")
    args = parser.parse_args()
    torch.set_num_threads(1)
    card = read_card(BUNDLED)
    clips = [clip for clip in read_manifest(audio_folder(args.audio)) if clip.train_ok]
    train = select(clips, corpus="emodb", split="train", labels=LABELS)
    dev = select(clips, corpus="emodb", split="dev", labels=LABELS)
    noises = [clip.read() for clip in select(clips, corpus="esc10", split="noise-train")]
    examples = listen(train, noises, COPIES, card.seed)
    temperature = torch.tensor([card.calibration.temperature, card.calibration.temperature_slope])
    args.out.parent.mkdir(parents=True, exist_ok=True)
    with args.out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, delimiter="\t", lineterminator="\n")
        table.writerow(["left_out", "condition", "path", "speaker", "emotion", "snr_db", *LABELS, "arousal"])
        conditions = [_Condition(name, train, noises, card.seed) for name in _CONDITIONS]
        for pair in held_out_speakers(examples):
            heads = fit_heads(examples.where(~np.isin(examples.speakers, pair)), card.seed, Recipe())
            heads.temperature.copy_(temperature)
            for condition in conditions:
                table.writerows(condition.rows("+".join(pair), heads, pair))
        heads = fit_heads(examples, card.seed, Recipe())
        heads.temperature.copy_(temperature)
        for name in _CONDITIONS:
            condition = _Condition(name, dev, noises, card.seed)
            table.writerows(condition.rows("dev", heads, {clip.speaker for clip in dev}))


_CONDITIONS = ("clean", *(f"{level} dB" for level in NOISY_DB), *(f"{length} ms" for length in SHORT_MS))


class _Condition:
    """Clips as they are, in recorded or made noise, or a stretch of them."""

    def __init__(self, name: str, clips: Sequence[Clip], noises: Sequence[Waveform], seed: int) -> None:
        self._name = name
        self._clips = clips
        self._snr_db: list[float | None] = []
        self._heard = listen(clips, noises, 1, seed, alter=self._alter, plain=False)

    def rows(self, left_out: str, heads: Heads, speakers: Collection[str]) -> Iterator[list[str]]:
        """What heads say of these speakers."""
        with torch.no_grad():
            logits, arousal, _ = heads(torch.from_numpy(self._heard.statistics))
        shares = torch.softmax(logits, dim=1).tolist()
        for index, clip in enumerate(self._clips):
            if clip.speaker in speakers:
                path = f"{clip.path.parent.name}/{clip.path.name}"
                snr = self._snr_db[index]
                yield [
                    *(left_out, self._name, path, clip.speaker, clip.emotion),
                    "" if snr is None else f"{snr:.1f}",
                    *(f"{share:.4f}" for share in shares[index]),
                    f"{float(arousal[index, 0]):.4f}",
                ]

    def _alter(self, speech: Waveform, noises: Sequence[Waveform], rng: np.random.Generator) -> Waveform:
        value, _, unit = self._name.partition(" ")
        wave = speech.astype(np.float32) / 32768
        if unit == "dB":
            wave = add_noise(wave, draw_noise(len(wave), noises, rng), snr_db=float(value))
        elif unit == "ms":
            wave = crop(wave, float(value) / 1_000, rng)
        altered = to_int16(wave, peak_db=-1) if unit else speech
        self._snr_db.append(snr_db(altered))
        return altered


if __name__ == "__main__":
    main()
