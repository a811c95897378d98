"""`affectstream-models render`: Triton's model folder, written from the contract and the card.

Every file here is text that follows from `affectstream.contract` and `meralion_card`; a test
renders again and compares, so the repository cannot drift from the code that serves it.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from affectstream import contract
from affectstream_models.engine_graph import BATCHES
from affectstream_models.engine_plan import REBUILD
from affectstream_models.errors import ModelsError
from affectstream_models.export import MAX_BATCH
from affectstream_models.meralion_card import CARD_TOML, NAME, card
from affectstream_models.meralion_config import HUB_ID, PINNED_REVISION, MeralionConfig
from affectstream_models.meralion_triton import CHECKPOINT_ENV

RENDERED_BY: Final = "Rendered by `affectstream-models render` from contract.py and the card: change those."
PREFERRED_BATCHES: Final = (4, 8, 16, 32)
MAX_QUEUE_DELAY_US: Final = 5_000
"""How long Triton may hold a request for company; a lone utterance takes several times that."""
_SIZES: Final = MeralionConfig()
_OUTPUTS: Final = {
    contract.LOGITS.name: len(contract.EMOTIONS),
    contract.DIMS.name: len(contract.DIMENSIONS),
    contract.EMBEDDING.name: _SIZES.embedding,
    contract.FRAME_ATTENTION.name: _SIZES.frames,
}


class StaleError(ModelsError):
    """Files of the repository that are not what would be rendered."""


def render() -> dict[str, str]:
    """Every rendered file of `triton_repo/meralion_ser`: relative path and text."""
    return {
        "config.pbtxt": _tensorrt_config(),
        "configs/torch.pbtxt": _torch_config(),
        "labels.txt": "\n".join(contract.EMOTIONS) + "\n",
        "card.toml": f"# {RENDERED_BY}\n{CARD_TOML}",
        "README.md": _readme(),
    }


def write(folder: Path) -> list[Path]:
    """Renders into a model's folder, each file in one step; returns those that changed.

    Raises:
        ModelsError: when the folder cannot be written; files already replaced are whole.
    """
    changed = []
    for path, text in stale(folder).items():
        new = path.with_name(f".{path.name}.new")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            new.write_text(text, encoding="utf-8")
            new.replace(path)
        except OSError as error:
            raise ModelsError(
                f"{path}: cannot be written ({error.strerror}); mount the repository writable"
            ) from error
        changed.append(path)
    return changed


def stale(folder: Path) -> dict[Path, str]:
    """Paths whose text is missing or differs, with the text that belongs there."""
    wanted = {folder / name: text for name, text in render().items()}
    return {path: text for path, text in wanted.items() if not path.is_file() or path.read_text() != text}


def _tensorrt_config() -> str:
    return f"""\
# {RENDERED_BY}
# The engine, `<version>/model.plan`, is built where it serves: {REBUILD}
name: "{NAME}"
platform: "tensorrt_plan"
max_batch_size: {MAX_BATCH}
# Full scale ±32,768 as everywhere, but in float32: TensorRT has no 16-bit integers. A client asks
# for the model's metadata and sends the type it names.
{_input("TYPE_FP32")}
{_outputs()}
# One optimization profile for each of the batch sizes {", ".join(map(str, BATCHES))}.
instance_group [
  {{
    count: 1
    kind: KIND_GPU
    profile: [ {", ".join(f'"{index}"' for index in range(len(BATCHES)))} ]
  }}
]
{_batching()}
{_warm_up("TYPE_FP32", BATCHES)}
"""


def _torch_config() -> str:
    return f"""\
# {RENDERED_BY}
# The same model without an engine: `tritonserver --model-config-name=torch`. Inputs and outputs have the
# names of config.pbtxt. bf16 with CUDA graphs on a GPU, float32 on a CPU, where a window takes seconds.
name: "{NAME}"
backend: "python"
max_batch_size: {MAX_BATCH}
{_input("TYPE_" + contract.AUDIO.dtype)}
{_outputs()}
instance_group [
  {{
    count: 1
    kind: KIND_AUTO
  }}
]
{_batching()}
{_warm_up("TYPE_" + contract.AUDIO.dtype, (1,))}
# A folder, a .safetensors file or a hub id; {CHECKPOINT_ENV} goes before it.
parameters: [
  {{
    key: "checkpoint"
    value: {{ string_value: "{HUB_ID}" }}
  }},
  {{
    key: "revision"
    value: {{ string_value: "{PINNED_REVISION}" }}
  }}
]
"""


def _input(data_type: str) -> str:
    return f"""\
input [
  {{
    name: "{contract.AUDIO.name}"
    data_type: {data_type}
    dims: [ {_SIZES.window_samples} ]
  }}
]"""


def _outputs() -> str:
    blocks = []
    for name, size in _OUTPUTS.items():
        labels = '\n    label_filename: "labels.txt"' if name == contract.LOGITS.name else ""
        blocks.append(
            f'  {{\n    name: "{name}"\n    data_type: TYPE_FP32\n    dims: [ {size} ]{labels}\n  }}'
        )
    return "output [\n" + ",\n".join(blocks) + "\n]"


def _batching() -> str:
    return f"""\
# No default time-out: a caller that will not wait says so in its own request.
dynamic_batching {{
  preferred_batch_size: [ {", ".join(map(str, PREFERRED_BATCHES))} ]
  max_queue_delay_microseconds: {MAX_QUEUE_DELAY_US}
}}"""


def _warm_up(data_type: str, batches: tuple[int, ...]) -> str:
    blocks = [
        f"""\
  {{
    name: "silence_{batch}"
    batch_size: {batch}
    inputs: {{
      key: "{contract.AUDIO.name}"
      value: {{
        data_type: {data_type}
        dims: [ {_SIZES.window_samples} ]
        zero_data: true
      }}
    }}
  }}"""
        for batch in batches
    ]
    return "model_warmup [\n" + ",\n".join(blocks) + "\n]"


def _readme() -> str:
    facts = card()
    rows = "\n".join(f"| {name} | FP32 | {size} |" for name, size in _OUTPUTS.items())
    labels = "\n".join(f"{index}. {label}" for index, label in enumerate(contract.EMOTIONS))
    limits = "\n".join(f"- {limit}" for limit in facts["limits"])
    not_for = "\n".join(f"- {use}" for use in facts["not_for"])
    return f"""\
<!-- {RENDERED_BY} -->
# {NAME}

{HUB_ID}, revision `{facts["revision"]}`. {facts["attribution"]}.
Licence of the weights: {facts["weights_licence"]}. This folder holds no weights.

| tensor | type | shape, without the batch |
| --- | --- | --- |
| {contract.AUDIO.name} | FP32 (engine) or INT16 (torch) | {_SIZES.window_samples} |
{rows}

{contract.AUDIO.name} is 16 kHz mono, full scale ±32,768 in either type, zero-padded at the end to 30 s. The
padding is part of the function. {contract.DIMS.name} are {", ".join(contract.DIMENSIONS)}, each in 0..1.
{contract.FRAME_ATTENTION.name} says how much the pooling looked at each 20 ms frame and sums to 1.

{contract.LOGITS.name}, in this order:

{labels}

## Serve

- Engine: `{REBUILD}` writes `1/model.plan` and `1/manifest.json`; `affectstream-models build --check` says
  whether the plan may serve on this machine. See `docs/engine.md`.
- No engine: `tritonserver --model-config-name=torch`, with `affectstream[models]` in the server's Python.

## Limits

{limits}

## Not for

{not_for}
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `affectstream-models render`."""
    parser.description = (
        "Write MERaLiON-SER's folder of the Triton repository from the contract and the card."
    )
    parser.add_argument(
        "--repository", type=Path, default=Path("triton_repo"), help="model repository (%(default)s)"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file would change")


def run(args: argparse.Namespace, say: Callable[[str], Any] = sys.stderr.write) -> int:
    """Renders, or checks that rendering would change nothing; errors rise as `ModelsError`."""
    folder = args.repository / NAME
    if args.check:
        names = ", ".join(str(path) for path in stale(folder))
        if names:
            raise StaleError(f"not as rendered: {names}; run `affectstream-models render`")
        return 0
    for path in write(folder):
        say(f"wrote {path}\n")
    return 0
