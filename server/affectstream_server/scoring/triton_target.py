"""The embedded model behind Triton's Python backend.

`triton_repo/affect_embedded/1/model.py` is a few lines over this, and runs in an environment that holds
numpy, onnxruntime and this package without its dependencies. Under numpy 2 some builds of the backend
corrupt tensors silently on their way in; the service's canary finds it and does not become ready.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from affectstream.contract import AUDIO, DIMS, EMBEDDING, LOGITS, METADATA_PREFIX, NUM_SAMPLES
from affectstream_server.scoring.canary import Answer, canary_audio, known_answer

BUNDLED: Final = Path(__file__).resolve().parent.parent / "models" / "affect_embedded" / "model.onnx"
_OUTPUTS: Final = (LOGITS.name, DIMS.name, EMBEDDING.name)

Rows = list[NDArray[np.float32]]
"""One array for each of the outputs, ``[B, …]``."""


class WrongModelFile(Exception):
    """The model file is not the one that the configuration names."""


class TritonTarget:
    """One instance of the model: loads and proves itself at once, then answers batches of requests.

    A version's folder may hold a ``model.onnx`` of its own; else the bundled one serves. ``args`` is what
    Triton passes to ``initialize``, ``pb_utils`` its ``triton_python_backend_utils``.
    """

    def __init__(self, args: dict[str, str], pb_utils: Any) -> None:
        """Load. Raises `WrongModelFile` or `CanaryFailed`, upon which Triton does not serve the model."""
        self._pb_utils = pb_utils
        version = args["model_version"]
        own = Path(args["model_repository"]) / version / "model.onnx"
        content = (own if own.exists() else BUNDLED).read_bytes()
        config = json.loads(args["model_config"])
        parameters = {
            key: value.get("string_value", "") for key, value in config.get("parameters", {}).items()
        }
        digest = hashlib.sha256(content).hexdigest()
        if parameters.get(f"{METADATA_PREFIX}sha256.{version}", digest) != digest:
            raise WrongModelFile(
                f"version {version}: the model file's SHA-256 is {digest}, not the configured"
            )
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
        self._prove(known_answer(parameters, version))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Score every request that is still wanted; those of one length in one run of the model."""
        groups: dict[int, list[int]] = defaultdict(list)
        audio = [self._read(request, AUDIO.name) for request in requests]
        answers: list[Any] = [None] * len(requests)
        for place, request in enumerate(requests):
            if request.is_cancelled():
                answers[place] = self._failed("cancelled", self._pb_utils.TritonError.CANCELLED)
            else:
                groups[audio[place].shape[1]].append(place)
        for places in groups.values():
            try:
                parts = self._run(
                    [audio[place] for place in places],
                    [self._read(requests[place], NUM_SAMPLES.name) for place in places],
                )
            except Exception as error:  # noqa: BLE001 - these requests must be answered; the others go on
                parts = [self._failed(f"{type(error).__name__}: the model failed") for _ in places]
            for place, part in zip(places, parts, strict=True):
                answers[place] = part
        return answers

    def _run(self, audio: list[NDArray[Any]], num_samples: list[NDArray[Any]]) -> list[Any]:
        rows: Rows = self._session.run(
            _OUTPUTS, {AUDIO.name: np.concatenate(audio), NUM_SAMPLES.name: np.concatenate(num_samples)}
        )
        ends = np.cumsum([len(part) for part in audio])[:-1]
        columns = [np.split(tensor, ends) for tensor in rows]
        return [self._response(parts) for parts in zip(*columns, strict=True)]

    def _response(self, parts: Sequence[NDArray[np.float32]]) -> Any:
        tensors = [self._pb_utils.Tensor(name, part) for name, part in zip(_OUTPUTS, parts, strict=True)]
        return self._pb_utils.InferenceResponse(output_tensors=tensors)

    def _failed(self, *error: Any) -> Any:
        failure = self._pb_utils.TritonError(*error)
        return self._pb_utils.InferenceResponse(output_tensors=[], error=failure)

    def _read(self, request: Any, name: str) -> NDArray[Any]:
        tensor: NDArray[Any] = self._pb_utils.get_input_tensor_by_name(request, name).as_numpy()
        return tensor

    def _prove(self, known: Answer | None) -> None:
        audio = canary_audio()[np.newaxis]
        logits, dimensions, _ = self._session.run(
            _OUTPUTS, {AUDIO.name: audio, NUM_SAMPLES.name: np.array([[audio.shape[1]]], np.int32)}
        )
        if known is not None:
            Answer.of(logits[0], dimensions[0]).compare(known)
