"""Speech with its pauses, as requests that are serialised once and shared by all streams."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Final, Generic, TypeVar

import numpy as np
import soundfile
import soxr
from numpy.typing import NDArray

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb

_SUFFIXES: Final = {".flac", ".ogg", ".wav"}
_GOLDEN: Final = (5**0.5 - 1) / 2

CONFIG: Final = pb.StreamAffectRequest(
    config=pb.SessionConfig(
        audio=pb.AudioFormat(
            encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=SAMPLE_RATE_HZ, channel_count=1
        ),
        consent_basis=pb.CONSENT_BASIS_NOT_PERSONAL,
    )
).SerializeToString()
"""The first request of every stream: everything else at the server's defaults."""

END_OF_AUDIO: Final = pb.StreamAffectRequest(
    control=pb.Control(end_of_audio=pb.EndOfAudio())
).SerializeToString()
"""The last request of every stream."""

NOT_SCORED: Final = pb.StreamAffectRequest(
    control=pb.Control(consent_withdrawn=pb.ConsentWithdrawn())
).SerializeToString()
"""After this request, utterances are found and declared as before, and no model is asked."""


class NoTalks(Exception):
    """There is no speech to send; the message says where it was looked for."""


@dataclass(frozen=True, slots=True)
class Source:
    """Files with speech, and in words where they come from."""

    paths: tuple[Path, ...]
    description: str


def find(named: Sequence[Path] = (), environ: Mapping[str, str] = os.environ) -> Source:
    """The files ``named``, else the talks of $AFFECTSTREAM_AUDIO, else the bundled sample.

    Raises `NoTalks`.
    """
    if named:
        return Source(tuple(named), "files named on the command line")
    if folder := environ.get("AFFECTSTREAM_AUDIO"):
        paths = _audio_files(Path(folder) / "conversation")
        if not paths:
            raise NoTalks(f"AFFECTSTREAM_AUDIO: no audio in {Path(folder) / 'conversation'}")
        return Source(paths, f"{len(paths)} talks of $AFFECTSTREAM_AUDIO")
    paths = _audio_files(Path(str(files("affectstream"))) / "samples")
    if not paths:
        raise NoTalks(
            "no speech to send: the client has no bundled sample; name files with --audio, or a folder "
            "that holds conversation/ in AFFECTSTREAM_AUDIO"
        )
    return Source(
        paths, f"bundled sample {', '.join(path.name for path in paths)} (AFFECTSTREAM_AUDIO is not set)"
    )


def read(path: Path, frame_samples: int) -> list[bytes]:
    """A file as audio requests of ``frame_samples`` at 16 kHz, first channel; the last part is left out.

    Raises `NoTalks` for a file that cannot be read or is shorter than one frame.
    """
    data = samples_of(path).astype("<i2").tobytes()
    frame_bytes = 2 * frame_samples
    whole = len(data) // frame_bytes * frame_bytes
    if not whole:
        raise NoTalks(f"{path}: shorter than one frame of {frame_samples} samples")
    return [
        pb.StreamAffectRequest(
            audio=pb.AudioChunk(data=data[start : start + frame_bytes])
        ).SerializeToString()
        for start in range(0, whole, frame_bytes)
    ]


def samples_of(path: Path) -> NDArray[np.int16]:
    """The first channel of a file, int16 at 16 kHz. Raises `NoTalks`."""
    try:
        audio, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise NoTalks(f"{path}: cannot be read: {error}") from None
    samples: NDArray[np.int16] = np.ascontiguousarray(audio[:, 0])
    if rate_hz != SAMPLE_RATE_HZ:
        samples = soxr.resample(samples, rate_hz, SAMPLE_RATE_HZ)
    return samples


Talk = TypeVar("Talk", bound=Sized)


@dataclass(frozen=True, slots=True)
class Talks(Generic[Talk]):
    """Talks as requests or samples, each looped from a place that differs from stream to stream."""

    requests: tuple[Talk, ...]

    def of_stream(self, stream: int) -> tuple[Talk, int]:
        """A stream's talk and the index of what it begins with."""
        talk = self.requests[stream % len(self.requests)]
        return talk, int(stream * _GOLDEN % 1.0 * len(talk))


def _audio_files(folder: Path) -> tuple[Path, ...]:
    if not folder.is_dir():
        return ()
    return tuple(sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES))
