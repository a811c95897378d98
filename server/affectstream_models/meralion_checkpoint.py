"""Reads a published checkpoint strictly: every check that a first load of the real file has to pass."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from affectstream.contract import EMOTIONS, SAMPLE_RATE_HZ
from affectstream_models.frontend import FFT_SAMPLES, HOP_SAMPLES, LogMel
from affectstream_models.meralion_config import MeralionConfig
from affectstream_models.meralion_hub import CheckpointError, locate

_UNUSED: Final = ("whisper.decoder.", "whisper.proj_out.", "proj_out.")
_FRONTEND_BUDGET: Final = 1e-4


def read_checkpoint(
    path_or_hub_id: str | Path,
    wanted: Mapping[str, tuple[int, ...]],
    config: MeralionConfig,
    *,
    revision: str | None,
    token: str | None,
) -> dict[str, Tensor]:
    """Reads the tensors named in `wanted` after checking config, preprocessor, front end and weights.

    Args:
        path_or_hub_id: see `MeralionSer.from_checkpoint`.
        wanted: every tensor's name and shape; the file must hold these and, but for the
            decoder, no other.
        config: sizes that the files must agree with.
        revision: commit on the hub.
        token: for the hub.

    Returns:
        Float32 tensors on the CPU, by name.

    Raises:
        CheckpointError: for the first check that fails.
    """
    files = locate(path_or_hub_id, revision=revision, token=token)
    check_config(files.config, config)
    if files.preprocessor:
        check_preprocessor(files.preprocessor, config)
    check_frontend(config.mel_bands)
    return read_weights(files.weights, wanted)


def check_config(path: Path, config: MeralionConfig) -> None:
    """Compares `config.json` with the contract: label order and number of labels; shapes say the rest."""
    fields = _json(path)
    labels = fields.get("id2label")
    if not isinstance(labels, dict):
        raise CheckpointError(f"{path}: id2label is {labels!r}, expected the labels {', '.join(EMOTIONS)}")
    expected = {str(index): label for index, label in enumerate(EMOTIONS[: config.labels])}
    found = {str(index): str(label).strip().lower() for index, label in labels.items()}
    if found != expected:
        order = ", ".join(f"{index}: {label}" for index, label in found.items())
        raise CheckpointError(
            f"{path}: id2label is {{{order}}}, expected the order {', '.join(expected.values())}; "
            "use the pinned revision, or change contract.EMOTIONS and every consumer of it"
        )
    count = fields.get("num_emotions", config.labels)
    if count != config.labels:
        raise CheckpointError(
            f"{path}: num_emotions is {count!r}, expected {config.labels}; use the pinned revision"
        )


def check_preprocessor(path: Path, config: MeralionConfig) -> None:
    """Compares `preprocessor_config.json`, field by field where it names one, with our front end."""
    expected = {
        "feature_size": config.mel_bands,
        "n_fft": FFT_SAMPLES,
        "hop_length": HOP_SAMPLES,
        "sampling_rate": SAMPLE_RATE_HZ,
        "n_samples": config.window_samples,
        "padding_value": 0.0,
        "dither": 0.0,
        "do_normalize": False,
    }
    fields = _json(path)
    for name, value in expected.items():
        if fields.get(name, value) != value:
            raise CheckpointError(
                f"{path}: {name} is {fields[name]!r}, expected {value!r}, all that this front end does"
            )


def check_frontend(mel_bands: int) -> None:
    """Compares our spectrum with `torch.stft` on a chirp that fades into silence.

    Raises:
        CheckpointError: when they differ by more than 1e-4 after the logarithm, as they do
            when float32 products run in reduced precision.
    """
    ours = LogMel(mel_bands)
    seconds = torch.arange(SAMPLE_RATE_HZ, dtype=torch.float64) / SAMPLE_RATE_HZ
    chirp = (torch.sin(2 * torch.pi * 3_500 * seconds**2) * torch.exp(-6 * seconds)).to(torch.float32)
    window = torch.hann_window(FFT_SAMPLES)
    stft = torch.stft(chirp, FFT_SAMPLES, HOP_SAMPLES, window=window, return_complex=True)
    power = (stft.abs() ** 2)[:, :-1]
    log_power = torch.log10((ours.filters.T @ power).clamp_min(1e-10))
    reference = (torch.maximum(log_power, log_power.max() - 8.0) + 4.0) / 4.0
    error = float((ours(chirp[None])[0] - reference).abs().max())
    if not error < _FRONTEND_BUDGET:
        raise CheckpointError(
            f"log-mel front end: differs from torch.stft by {error:.1e}, expected < {_FRONTEND_BUDGET:.0e}; "
            "float32 products must run in true float32: unset reduced-precision settings of torch"
        )


def read_weights(path: Path, wanted: Mapping[str, tuple[int, ...]]) -> dict[str, Tensor]:
    """Reads exactly the tensors of `wanted`, each float32, finite and of its shape; drops the decoder."""
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if not name.startswith(_UNUSED)]  # noqa: SIM118 - no mapping
            _check_names(path, names, wanted)
            for name in wanted:
                _check_header(path, name, file.get_slice(name), wanted[name])
            tensors: dict[str, Tensor] = {name: file.get_tensor(name) for name in wanted}
    except (SafetensorError, OSError) as error:
        size = path.stat().st_size
        raise CheckpointError(
            f"{path}: not a whole safetensors file ({size:,} bytes; {error}); download it again"
        ) from error
    for name, tensor in tensors.items():
        if not torch.isfinite(tensor).all():
            raise CheckpointError(f"{path}: tensor {name} holds NaN or infinity; download it again")
    return tensors


def _check_names(path: Path, names: list[str], wanted: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in wanted if name not in set(names)]
    if missing:
        raise CheckpointError(
            f"{path}: {len(missing)} of {len(wanted)} tensors missing, first {missing[0]}; "
            "is this MERaLiON-SER-v1 at the pinned revision?"
        )
    extra = sorted(set(names) - set(wanted))
    if extra:
        raise CheckpointError(
            f"{path}: {len(extra)} tensors that MERaLiON-SER-v1 does not have, first {extra[0]}; "
            "is this another model or revision?"
        )


def _check_header(path: Path, name: str, header: Any, shape: tuple[int, ...]) -> None:
    found = tuple(header.get_shape())
    if found != shape:
        raise CheckpointError(
            f"{path}: tensor {name} is {_by(found)}, expected {_by(shape)}; is it another model or revision?"
        )
    if header.get_dtype() != "F32":
        raise CheckpointError(
            f"{path}: tensor {name} is {header.get_dtype()}, expected F32; load the published float32 file "
            "and choose the precision at export"
        )


def _by(shape: tuple[int, ...]) -> str:
    return "×".join(str(size) for size in shape)


def _json(path: Path) -> dict[str, Any]:
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: not readable as JSON ({error}); download it again") from error
    if not isinstance(fields, dict):
        raise CheckpointError(f"{path}: holds {type(fields).__name__}, expected an object; download it again")
    return fields
