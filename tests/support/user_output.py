"""Files as `affectstream-models probe` writes them, for any model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:  # the tests of the models have no server
    from affectstream_server.scoring.scorer import ModelInfo


def content(of: ModelInfo, /, name: str = "loudness", **changed: Any) -> dict[str, Any]:
    """What a file says: an output with random weights, of the embedding of this model."""
    weights = np.random.default_rng(0).normal(0, 0.3, (2, of.embedding_size))
    said = {
        "format": "affectstream-user-output-1",
        "name": name,
        "labels": ["calm", "loud"],
        "model": {"name": f"{of.name} {of.version}", "sha256": of.digest},
        "clips": 20,
        "cross_validation": {"uar": 0.85, "low": 0.7, "high": 0.95, "chance": 0.5},
        "bias": [0.1, -0.1],
        "weights": weights.round(4).tolist(),
    }
    return said | changed


def write(path: Path, said: object) -> str:
    """The file's path as settings name it."""
    path.write_text(json.dumps(said), encoding="utf-8")
    return str(path)
