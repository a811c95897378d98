"""A log of predictions on disk, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self, TextIO

from affectstream_models.errors import ModelsError
from affectstream_models.files import write_atomically
from affectstream_models.predictor import Prediction

Key = tuple[str, str]
"""A clip's path and the condition it was heard in."""


class PredictionLog:
    """JSON lines: first what the predictions depend on, then one line for each prediction.

    A log that depends on something else (another model, another list of clips) is begun anew; a last line
    that was cut off is dropped.
    """

    def __init__(self, path: Path, depends_on: Mapping[str, str]) -> None:
        self._path = path
        self._header = {"depends_on": dict(depends_on)}
        self.done: dict[Key, Prediction] = {}
        self._file: TextIO | None = None

    def __enter__(self) -> Self:
        lines = _whole_lines(self._path)
        if lines and lines[0] == self._header:
            for line in lines[1:]:
                key = (line["path"], line["condition"])
                self.done[key] = Prediction(tuple(line["logits"]), tuple(line["dims"]))
        kept = [self._header, *(_line(key, prediction) for key, prediction in self.done.items())]
        write_atomically(self._path, "".join(json.dumps(line) + "\n" for line in kept).encode())
        self._file = self._path.open("a", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, key: Key, prediction: Prediction) -> None:
        """Remembers one prediction, on disk at once."""
        if self._file is None:
            raise RuntimeError("the log is not open")
        self.done[key] = prediction
        self._file.write(json.dumps(_line(key, prediction)) + "\n")
        self._file.flush()


def _line(key: Key, prediction: Prediction) -> dict[str, Any]:
    path, condition = key
    return {"path": path, "condition": condition, "logits": prediction.logits, "dims": prediction.dims}


def _whole_lines(path: Path) -> list[dict[str, Any]]:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ModelsError(f"cannot read {path}: {error.strerror}") from error
    lines = []
    for line in text.splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines
