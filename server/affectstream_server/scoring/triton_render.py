"""Write `triton_repo/affect_embedded` from the contract and the bundled model.

``python -m affectstream_server.scoring.triton_render`` writes what has changed, ``--check`` fails where
something would, and ``--onnx`` puts the model file beside, for ONNX Runtime's backend in the full image.
A test renders again and compares, so the repository cannot drift from the model.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime

from affectstream.contract import AUDIO, DIMS, EMBEDDING, LOGITS, METADATA_PREFIX, NUM_SAMPLES
from affectstream_server.scoring.canary import Answer, canary_audio
from affectstream_server.scoring.embedded import BUNDLED, EmbeddedScorer
from affectstream_server.scoring.scorer import ModelInfo

NAME: Final = "affect_embedded"
VERSION: Final = "1"
MAX_BATCH: Final = 32
MAX_QUEUE_DELAY_US: Final = 1_000
"""How long Triton may hold a request for company; an utterance of 3 s takes about as long to score."""
RENDERED_BY: Final = "# Rendered by `python -m affectstream_server.scoring.triton_render`: change that."


def render() -> dict[str, str]:
    """Every rendered file of the model's folder: relative path and text."""
    model = EmbeddedScorer().model
    return {
        "config.pbtxt": _python_config(model),
        "configs/onnx.pbtxt": _onnx_config(model),
        "labels.txt": "\n".join(model.labels) + "\n",
    }


def stale(folder: Path) -> dict[Path, str]:
    """Files of the model's ``folder`` whose text is missing or differs, with the text that belongs there."""
    wanted = {folder / name: text for name, text in render().items()}
    return {path: text for path, text in wanted.items() if not path.is_file() or path.read_text() != text}


def write(path: Path, content: bytes) -> None:
    """Write a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    new.write_bytes(content)
    os.replace(new, path)


def _python_config(model: ModelInfo) -> str:
    # The Python backend hands requests over one by one, so those of different lengths can share a batch;
    # the model's file groups them by length.
    return _config(model, 'backend: "python"', ragged="\n    allow_ragged_batch: true", canary=_canary())


def _onnx_config(model: ModelInfo) -> str:
    return _config(model, 'backend: "onnxruntime"', ragged="", canary=_canary())


def _config(model: ModelInfo, backend: str, *, ragged: str, canary: Answer) -> str:
    sizes = {
        LOGITS.name: len(model.labels),
        DIMS.name: len(model.dimensions),
        EMBEDDING.name: model.embedding_size,
    }
    outputs = ",\n".join(_output(name, size) for name, size in sizes.items())
    return f"""\
{RENDERED_BY}
name: "{NAME}"
{backend}
max_batch_size: {MAX_BATCH}
input [
  {{
    name: "{AUDIO.name}"
    data_type: TYPE_{AUDIO.dtype}
    dims: [ -1 ]{ragged}
  }},
  {{
    name: "{NUM_SAMPLES.name}"
    data_type: TYPE_{NUM_SAMPLES.dtype}
    dims: [ {NUM_SAMPLES.shape[0]} ]
  }}
]
output [
{outputs}
]
instance_group [
  {{
    count: 1
    kind: KIND_CPU
  }}
]
version_policy: {{ latest: {{ num_versions: 1 }} }}
# No default time-out: a caller that will not wait says so in its own request. No queue limit, which turns
# prefetching off and costs stalls of 500 ms in Triton 24.10: the service bounds what it sends.
dynamic_batching {{
  max_queue_delay_microseconds: {MAX_QUEUE_DELAY_US}
}}
{_parameters(model, canary)}
"""


def _output(name: str, size: int) -> str:
    labels = '\n    label_filename: "labels.txt"' if name == LOGITS.name else ""
    return f'  {{\n    name: "{name}"\n    data_type: TYPE_FP32\n    dims: [ {size} ]{labels}\n  }}'


def _parameters(model: ModelInfo, canary: Answer) -> str:
    """What the service reads from the loaded model; keys that end in a number are of that version."""
    said = {
        "name": model.name,
        "labels": ",".join(model.labels),
        "dimensions": ",".join(model.dimensions),
        "precision": model.precision,
        "max_samples": str(model.max_samples),
        "calibrated": str(model.calibrated).lower(),
        "abstain_below": json.dumps(model.abstain_below),
        **({} if model.min_snr_db is None else {"min_snr_db": f"{model.min_snr_db:g}"}),
        "min_speech_ms": str(model.min_speech_ms),
        f"version.{VERSION}": model.version,
        f"sha256.{VERSION}": model.digest,
        f"canary.{VERSION}": canary.to_json(),
    }
    entries = ",\n".join(
        f'  {{\n    key: "{METADATA_PREFIX}{key}"\n    value: {{ string_value: {json.dumps(value)} }}\n  }}'
        for key, value in said.items()
    )
    return f"parameters: [\n{entries}\n]"


def _canary() -> Answer:
    session = onnxruntime.InferenceSession(BUNDLED / "model.onnx", providers=["CPUExecutionProvider"])
    audio = canary_audio()[np.newaxis]
    logits, dimensions = session.run(
        [LOGITS.name, DIMS.name],
        {AUDIO.name: audio, NUM_SAMPLES.name: np.array([[audio.shape[1]]], np.int32)},
    )
    return Answer.of(logits[0], dimensions[0])


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Write triton_repo/affect_embedded from the bundled model.")
    parser.add_argument("--repository", type=Path, default=Path("triton_repo"), help="default: %(default)s")
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")
    parser.add_argument(
        "--onnx", action="store_true", help="also write 1/model.onnx, for --model-config-name=onnx"
    )
    args = parser.parse_args(arguments)
    folder: Path = args.repository / NAME
    changed = stale(folder)
    if args.check:
        for path in changed:
            sys.stderr.write(f"not as rendered: {path}\n")
        return 1 if changed else 0
    for path, text in changed.items():
        write(path, text.encode())
        sys.stderr.write(f"wrote {path}\n")
    if args.onnx:
        write(folder / VERSION / "model.onnx", (BUNDLED / "model.onnx").read_bytes())
    return 0


if __name__ == "__main__":
    sys.exit(main())
