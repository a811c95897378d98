"""How far one runtime's answers are from another's on real speech, and whether that is near enough."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import soundfile

from affectstream import contract
from affectstream_models.errors import ModelsError
from affectstream_models.meralion_card import card

Floats = npt.NDArray[np.float32]
Audio = npt.NDArray[np.int16]
_SUFFIXES: Final = frozenset({".flac", ".wav"})


class ParityError(ModelsError):
    """Two runtimes disagree by more than the card allows, or cannot be compared."""


@dataclass(frozen=True, slots=True)
class Scores:
    """Answers of one runtime to the same windows."""

    logits: Floats
    """`[N, 7]`."""
    dims: Floats
    """`[N, 3]`, each in 0..1."""

    @property
    def probabilities(self) -> Floats:
        """Softmax of the logits, `[N, 7]`."""
        shifted = np.exp(self.logits - self.logits.max(axis=1, keepdims=True))
        return np.asarray(shifted / shifted.sum(axis=1, keepdims=True), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Budget:
    """What the card allows one precision to differ by from float32."""

    min_argmax_agreement: float
    """Share of windows, 0..1, whose likeliest label is the same."""
    max_probability_delta: float
    """Of any label in any window."""
    max_dim_delta: float
    """Of any dimension in any window."""


@dataclass(frozen=True, slots=True)
class Parity:
    """What was measured."""

    windows: int
    argmax_agreement: float
    max_probability_delta: float
    max_dim_delta: float

    def to_json(self) -> dict[str, Any]:
        """As plain values, for a manifest."""
        return asdict(self)

    def require(self, budget: Budget) -> None:
        """Raises ParityError with the first figure that is out of its budget."""
        pairs = (
            ("argmax agreement", self.argmax_agreement, "at least", budget.min_argmax_agreement),
            ("max |Δ| of probabilities", self.max_probability_delta, "at most", budget.max_probability_delta),
            ("max |Δ| of dims", self.max_dim_delta, "at most", budget.max_dim_delta),
        )
        for what, value, bound, limit in pairs:
            # Written so that NaN is out of every budget.
            within = value >= limit if bound == "at least" else value <= limit
            if not within:
                raise ParityError(
                    f"{what} is {value:.4g} over {self.windows} windows of speech, the card asks for {bound} "
                    f"{limit:.4g}; nothing was installed: try another --precision"
                )


def budget_of(precision: str) -> Budget:
    """The card's budget for a precision: float32, bf16 or fp16."""
    return Budget(**card()["parity"][precision])


def compare(reference: Scores, other: Scores) -> Parity:
    """Measures `other` against `reference`, window by window.

    Raises:
        ParityError: when they did not score the same number of windows, or none.
    """
    if reference.logits.shape != other.logits.shape or reference.dims.shape != other.dims.shape:
        raise ParityError(
            f"logits and dims are {other.logits.shape} and {other.dims.shape}, the reference has "
            f"{reference.logits.shape} and {reference.dims.shape}; compare runs over the same windows"
        )
    windows = len(reference.logits)
    if not windows:
        raise ParityError(
            "no windows of speech to compare on; give a folder of 16 kHz mono .wav or .flac files"
        )
    same = reference.logits.argmax(axis=1) == other.logits.argmax(axis=1)
    return Parity(
        windows=windows,
        argmax_agreement=float(same.mean()),
        max_probability_delta=float(np.abs(reference.probabilities - other.probabilities).max()),
        max_dim_delta=float(np.abs(reference.dims - other.dims).max()),
    )


def speech_windows(folder: Path, count: int, window_samples: int) -> Audio:
    """Windows of real speech, int16 `[≤ count, window_samples]`, zero-padded, files taken evenly by name.

    Args:
        folder: searched with all below it for 16 kHz mono `.wav` and `.flac`.
        count: how many files to take; the first window of each.
        window_samples: length of a window; what is longer is cut.

    Raises:
        ParityError: when the folder holds no speech, or a file is not 16 kHz mono.
    """
    files = sorted(path for path in folder.rglob("*") if path.suffix in _SUFFIXES)
    if not files:
        raise ParityError(f"{folder}: no .wav or .flac below it; give a folder of 16 kHz mono speech")
    chosen = [files[i * len(files) // count] for i in range(count)] if len(files) > count else files
    windows = np.zeros((len(chosen), window_samples), dtype=np.int16)
    for row, path in zip(windows, chosen, strict=True):
        try:
            audio, rate_hz = soundfile.read(path, dtype="int16", frames=window_samples)
        except (OSError, soundfile.SoundFileError) as error:
            raise ParityError(f"{path}: cannot be read as audio ({error}); remove or replace it") from error
        if rate_hz != contract.SAMPLE_RATE_HZ or audio.ndim != 1:
            raise ParityError(
                f"{path}: {rate_hz} Hz, {audio.ndim}-d; expected {contract.SAMPLE_RATE_HZ} Hz mono"
            )
        row[: len(audio)] = audio
    return windows


def run_onnx(path: Path, audio: Audio, *, batch: int = 1) -> Scores:
    """Scores int16 windows `[N, samples]` with onnxruntime on the CPU, `batch` at a time."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    wanted = np.int16 if session.get_inputs()[0].type == "tensor(int16)" else np.float32
    names = [contract.LOGITS.name, contract.DIMS.name]
    return gather(
        session.run(names, {contract.AUDIO.name: audio[i : i + batch].astype(wanted)})
        for i in range(0, len(audio), batch)
    )


def gather(batches: Iterable[tuple[Floats, Floats] | list[Floats]]) -> Scores:
    """Scores of consecutive batches as one."""
    logits, dims = zip(*batches, strict=True)
    return Scores(np.concatenate(logits), np.concatenate(dims))
