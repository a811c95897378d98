"""The judge of segmentation: our stages and other endpointers over the same talks, in one run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectstream_server.settings import EndpointingSettings
from quality.generate import Generator
from quality.listen import Line, Listened, Progress, listen
from quality.measure import Heard, Score, score
from quality.peers import LIVEKIT, PIPECAT, PLAIN, OneTimer
from quality.report import published, table
from quality.talks import Talk, conversation

ADAPTIVE: Final = "Affectstream, adaptive (default)"
FIXED: Final = "Affectstream, fixed 256 ms"
HESITATION_SEEDS: Final = (101, 102)
"""Not among the seeds that the weights were chosen on."""
Rows = dict[str, Score]
Say = Callable[[str], Progress]
"""A step's name → where its progress goes."""


@dataclass(frozen=True, slots=True)
class Compared:
    """The same talks through several endpointers: for each, its utterances a talk."""

    talks: Sequence[Talk]
    heard: dict[str, list[list[Heard]]]

    def rows(self, noise: str | None = None) -> Rows:
        """Each endpointer's score over the talks at one level of noise; None: over all."""
        rows = {}
        for name, heard in self.heard.items():
            rows[name] = Score()
            for talk, utterances in zip(self.talks, heard, strict=True):
                if noise in (None, talk.noise):
                    rows[name].add(score(talk.utterances, utterances))
        return rows


def judge(folder: Path, say: Say) -> dict[str, Rows]:
    """Every table by its title. Raises `NoAudio`."""
    talks = conversation(folder)
    spoken = compare(talks, "16 kHz", say, "conversation", (PIPECAT, LIVEKIT, *PLAIN))
    sections = {"Conversation talks": spoken.rows()}
    for noise in dict.fromkeys(talk.noise for talk in talks):
        sections[f"Conversation talks, {noise}"] = spoken.rows(noise)
    telephone = compare(talks, "8 kHz µ-law", say, "conversation by telephone")
    sections["Conversation talks, 8 kHz µ-law"] = telephone.rows()
    generator = Generator(folder)
    made = [talk for seed in HESITATION_SEEDS for talk in generator.talks("hesitant", seed)]
    sections["Hesitation talks"] = compare(made, "16 kHz", say, "hesitations", (PIPECAT, LIVEKIT)).rows()
    made = [talk for seed in HESITATION_SEEDS for talk in generator.talks("long", seed)]
    title = "Hesitation talks, utterances spliced from two"
    sections[title] = compare(made, "16 kHz", say, "long hesitations", (PIPECAT, LIVEKIT)).rows()
    return sections


def compare(
    talks: Sequence[Talk], line: Line, say: Say, name: str, others: Sequence[OneTimer] = ()
) -> Compared:
    """Our two policies through the server's stages, and others on the same answers of the detector."""
    listened = listen(talks, EndpointingSettings(), line, say(f"{name}, adaptive"))
    fixed = listen(talks, EndpointingSettings(hangover_policy="FIXED"), line, say(f"{name}, fixed"))
    heard = {ADAPTIVE: [one.heard for one in listened], FIXED: [one.heard for one in fixed]}
    for other in others:
        heard[other.name] = [_run(other, one) for one in listened]
    return Compared(talks, heard)


def markdown(sections: dict[str, Rows]) -> str:
    """The report: every table under its title, other people's published rows after the first."""
    parts = []
    for number, (title, rows) in enumerate(sections.items()):
        parts += [f"## {title}", table(rows)]
        if number == 0:
            parts.append(published())
    return "\n\n".join(parts) + "\n"


def _run(other: OneTimer, one: Listened) -> list[Heard]:
    return other(one.probabilities, one.levels_db)
