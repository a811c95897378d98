"""Makes the sample talk that `affectstream demo` plays: one caller, one agent, ten utterances.

    apt-get install espeak-ng && python tools/sample_talk/make.py

The voices are espeak-ng's (1.51 made the committed files), varied in voice, pitch, rate and loudness;
a quiet seeded noise lies under the whole. Another version of espeak-ng gives other samples and
other times; `talk.tsv` is always written with the audio that it describes.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

RATE_HZ = 16_000
SEED = 20
LEAD_S = 0.6
NOISE_DBFS = -70.0
OUT = Path(__file__).resolve().parents[2] / "clients" / "python" / "affectstream" / "samples"

Samples = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Line:
    """One utterance and the pause after it."""

    text: str
    voice: str
    """A voice of espeak-ng with its variant."""
    pitch: int
    """0..99, 50 is the voice's own."""
    words_per_minute: int
    level_dbfs: float
    """Root mean square of the spoken part."""
    pause_s: float
    """Until the next utterance."""


CALLER, AGENT = "en-us+f3", "en-gb+m3"

LINES = (
    Line("Hello, I am calling about the parcel you sent me.", CALLER, 50, 170, -24, 1.1),
    Line("Could you tell me your order number please?", AGENT, 45, 160, -25, 0.9),
    Line("It's four seven one nine two zero.", CALLER, 48, 160, -25, 1.2),
    Line("I have been waiting for nine days and nobody ever called me back!", CALLER, 72, 215, -17, 0.8),
    Line("I am so sorry that this must have been very frustrating.", AGENT, 32, 138, -29, 1.5),
    Line("This is the third time, I want my money back today!", CALLER, 84, 230, -17, 0.9),
    Line("I understand, let me look into it right now.", AGENT, 42, 160, -25, 2.0),
    Line("I found it, and it will be with you this afternoon!", AGENT, 66, 190, -19, 0.8),
    Line("Oh, that is wonderful, thank you so much!", CALLER, 88, 195, -18, 1.0),
    Line("It was a present for my mother and she has been ill.", CALLER, 28, 130, -31, 1.0),
)


def speak(line: Line, folder: Path) -> Samples:
    """One line as espeak-ng says it, at 16 kHz, without silence around it, at its level; shape (samples,)."""
    wav = folder / "line.wav"
    command = ["espeak-ng", "-v", line.voice, "-p", str(line.pitch), "-s", str(line.words_per_minute)]
    subprocess.run([*command, "-w", str(wav), line.text], check=True)  # noqa: S603  arguments are from this file
    samples, rate_hz = soundfile.read(wav, dtype="float32")
    spoken = np.flatnonzero(np.abs(samples) > 0.01 * np.abs(samples).max())
    trimmed = samples[spoken[0] : spoken[-1] + 1]
    resampled: Samples = soxr.resample(trimmed, rate_hz, RATE_HZ, quality="VHQ").astype(np.float32)
    gain = 10 ** (line.level_dbfs / 20) / float(np.sqrt(np.mean(resampled**2)))
    loud = resampled * np.float32(gain)
    if np.abs(loud).max() > 0.98:
        raise ValueError(f"{line.level_dbfs} dBFS clips: {line.text}")
    return loud


def make(out: Path) -> None:
    """Write `talk.flac` (16 kHz mono, 16 bits) and `talk.tsv` (start_s, end_s, text) into `out`."""
    pieces: list[Samples] = [np.zeros(round(LEAD_S * RATE_HZ), np.float32)]
    rows = ["start_s\tend_s\ttext"]
    at = len(pieces[0])
    with tempfile.TemporaryDirectory() as folder:
        for line in LINES:
            speech = speak(line, Path(folder))
            pause = np.zeros(round(line.pause_s * RATE_HZ), np.float32)
            rows.append(f"{at / RATE_HZ:.3f}\t{(at + len(speech)) / RATE_HZ:.3f}\t{line.text}")
            pieces += [speech, pause]
            at += len(speech) + len(pause)
    talk = np.concatenate(pieces)
    noise = np.random.default_rng(SEED).standard_normal(len(talk)).astype(np.float32)
    talk += noise * np.float32(10 ** (NOISE_DBFS / 20))
    out.mkdir(parents=True, exist_ok=True)
    pcm = np.clip(np.rint(talk * 32768), -32768, 32767).astype(np.int16)
    soundfile.write(out / "talk.flac", pcm, RATE_HZ, subtype="PCM_16", compression_level=1.0)
    (out / "talk.tsv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    sys.stdout.write(f"{out / 'talk.flac'}: {len(talk) / RATE_HZ:.1f} s, {len(LINES)} utterances\n")


if __name__ == "__main__":
    make(Path(sys.argv[1]) if len(sys.argv) > 1 else OUT)
