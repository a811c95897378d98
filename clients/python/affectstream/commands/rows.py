"""One row for each file, as CSV or JSON lines, on standard output or in a file that can be gone on with.

A row is written whole, at once and in one piece, so that a run which is killed leaves whole rows and at
most a torn last one.
"""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, Self

from google.protobuf.json_format import MessageToDict

from affectstream.commands import InputError
from affectstream.cues import NAMES, spans_text
from affectstream.enums import AffectStatus, name_of
from affectstream.events import AffectEvent
from affectstream.info import ServerInfo

_FAILED: Final = frozenset(
    {AffectStatus.OVERLOADED, AffectStatus.DEADLINE_EXCEEDED, AffectStatus.MODEL_ERROR}
)


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one file: an event, or an error in one line."""

    file: str
    event: AffectEvent | None = None
    error: str = ""

    @property
    def status(self) -> str:
        """The event's status, or ``"ERROR"``."""
        return "ERROR" if self.event is None else name_of(self.event.status)

    @property
    def failed(self) -> bool:
        """Trying again may give values, or its error has to be looked at."""
        return self.event is None or self.event.status in _FAILED


class Format(Protocol):
    """How rows are written, and read again."""

    @property
    def head(self) -> str:
        """What stands before the first row."""

    @property
    def start(self) -> str:
        """What every output begins with."""

    def text(self, row: Row) -> str:
        """A row with its line end."""

    def kept(self, content: str) -> list[tuple[str, str]]:
        """File and text of each whole row that did not fail.

        Raises:
            InputError: there is a line that is no row.
        """


class CsvRows:
    """Columns: the file, the status, each label's probability, each dimension, uncertainty, and more.

    Each output that users taught the server has two columns, whose names begin with ``user_``. Cues are
    asked for, in the units of docs/cues.md, and so is on which spans the score rests.
    """

    def __init__(
        self,
        labels: Sequence[str],
        dimensions: Sequence[str],
        user_outputs: Sequence[str] = (),
        *,
        cues: bool = False,
        saliency: bool = False,
    ) -> None:
        self._labels, self._dimensions = tuple(labels), tuple(dimensions)
        self._columns = (
            *("file", "status", "duration_s", "top_label", "top_probability"),
            *(f"p_{label}" for label in self._labels),
            *self._dimensions,
            *("entropy", "margin", "clipped", "model", "detail", "error"),
            *(f"user_{name}{part}" for name in user_outputs for part in ("", "_probability")),
            *(f"cue_{name}" for name in NAMES if cues),
            *(("salient",) if saliency else ()),
        )

    @classmethod
    def of(cls, info: ServerInfo, model: str, *, cues: bool = False, saliency: bool = False) -> Self:
        """The columns of the model that a server scores with by name, else of its default."""
        named = [known for known in info.models if known.name == model]
        chosen = (named or info.models)[0]
        outputs = [output.name for output in info.user_outputs]
        return cls(chosen.labels, chosen.dimensions, outputs, cues=cues, saliency=saliency)

    @property
    def head(self) -> str:
        return _csv_line(self._columns)

    start = head

    def text(self, row: Row) -> str:
        cells: dict[str, object] = {"file": row.file, "status": row.status, "error": row.error}
        if row.event is not None:
            cells |= self._values(row.event)
        return _csv_line([cells.get(column, "") for column in self._columns])

    def _values(self, event: AffectEvent) -> dict[str, object]:
        cells: dict[str, object] = {
            "duration_s": f"{event.duration.seconds:.3f}",
            "top_label": event.top_label,
            "top_probability": _number(event.top_probability),
            "clipped": "yes" if event.quality is not None and event.quality.clipped else "no",
            "model": f"{event.model.name} {event.model.version}" if event.model else "",
            "detail": event.status_detail,
        }
        cells |= {f"p_{score.label}": _number(score.probability) for score in event.emotions}
        cells |= {name: _number(getattr(event.dimensions, name)) for name in self._dimensions}
        for output in event.user_outputs:
            cells[f"user_{output.name}"] = output.top_label
            cells[f"user_{output.name}_probability"] = _number(output.top_probability)
        cells |= {f"cue_{cue.name}": _number(cue.value) for cue in event.cues}
        cells["salient"] = spans_text(event.saliency)
        if event.uncertainty is not None:
            cells |= {
                "entropy": _number(event.uncertainty.entropy),
                "margin": _number(event.uncertainty.margin),
            }
        return cells

    def kept(self, content: str) -> list[tuple[str, str]]:
        rows = csv.reader(io.StringIO(content.removeprefix(self.head), newline=""))
        whole = [row for row in rows if len(row) == len(self._columns)]
        failed = {"ERROR", *(status.name for status in _FAILED)}
        return [(row[0], _csv_line(row)) for row in whole if row[1] not in failed]


class JsonRows:
    """``{"file": …, "event": affectstream.v1.AffectEvent in proto3 JSON}`` or ``{"file": …, "error": …}``."""

    head = ""
    start = '{"file": '

    def text(self, row: Row) -> str:
        cells: dict[str, Any] = {"file": row.file}
        if row.event is None:
            cells["error"] = row.error
        else:
            cells["event"] = MessageToDict(row.event.proto.affect)
        return json.dumps(cells, ensure_ascii=False) + "\n"

    def kept(self, content: str) -> list[tuple[str, str]]:
        failed = {f"AFFECT_STATUS_{status.name}" for status in _FAILED}
        rows = []
        for line in content.splitlines(keepends=True):
            try:
                cells = json.loads(line)
                file, event = str(cells["file"]), cells.get("event")
            except (ValueError, KeyError, TypeError):
                raise InputError("it holds a line that is no row of this command") from None
            if event is not None and event.get("status") not in failed:
                rows.append((file, line))
        return rows


class Output:
    """Rows on their way out, as a context manager."""

    def __init__(self, rows: Format, path: Path | None, *, resume: bool) -> None:
        """Open it.

        Args:
            rows: How they are written.
            path: Where; None: standard output.
            resume: Keep the rows that are there and did not fail; without it the file must not exist.

        Raises:
            InputError: it exists, cannot be written, or holds something else.
        """
        self._rows = rows
        self._path = path
        self.done: frozenset[str] = frozenset()
        """Files that have a row which did not fail."""
        self._fd = sys.stdout.fileno() if path is None else -1
        if path is None:
            self._write(rows.head)
            return
        try:
            if resume and path.exists():
                self.done = self._tidy(path)
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND)
            else:
                self._fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o666)
                self._write(rows.head)
        except FileExistsError:
            raise InputError(f"{path} exists; go on with it by --resume, or name another --out") from None
        except OSError as error:
            why = (error.strerror or "unknown error").lower()
            raise InputError(f"cannot write {path}: {why}") from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._path is not None:
            os.close(self._fd)

    def write(self, row: Row) -> None:
        """Add a row."""
        self._write(self._rows.text(row))

    def _write(self, text: str) -> None:
        data = text.encode(errors="surrogateescape")
        while data:
            data = data[os.write(self._fd, data) :]

    def _tidy(self, path: Path) -> frozenset[str]:
        """Leave the whole rows that did not fail, by a new file in place of the old."""
        content = path.read_bytes().decode(errors="surrogateescape")
        start = self._rows.start
        if content[: len(start)] != start[: len(content)]:
            raise InputError(
                f"cannot go on with {path}: it does not begin as these rows do; "
                "is it of another --format, another model, or no output of this command?"
            )
        try:
            kept = self._rows.kept(content[: content.rfind("\n") + 1])
        except InputError as error:
            raise InputError(f"cannot go on with {path}: {error}") from None
        beside = path.with_name(f"{path.name}.part")
        with beside.open("wb") as file:
            file.write((self._rows.head + "".join(text for _, text in kept)).encode(errors="surrogateescape"))
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        return frozenset(file for file, _ in kept)


def _csv_line(cells: Sequence[object]) -> str:
    with io.StringIO(newline="") as out:
        csv.writer(out, lineterminator="\n").writerow(cells)
        return out.getvalue()


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
