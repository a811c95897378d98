"""The live table of a terminal: utterances as they come, position and state below."""

from __future__ import annotations

import time
from typing import Final

from rich import box
from rich.bar import Bar
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from affectstream import events, states
from affectstream.commands.clock import clock
from affectstream.commands.display import (
    explained,
    has_several_channels,
    level,
    model_name,
    notes,
    span,
    state_text,
)
from affectstream.commands.playback import Heard
from affectstream.commands.recap import recap
from affectstream.enums import AffectStatus, name_of
from affectstream.events import AffectEvent
from affectstream.palette import colour

_REFRESH_S: Final = 0.1
_BAR_CELLS: Final = 12
# Title, table frame, progress line and some air around the rows.
_LINES_AROUND: Final = 7


class LiveTable:
    """Shows a session on a terminal; leaves the whole table behind at the end."""

    def __init__(self, title: str, duration_s: float | None, console: Console | None = None) -> None:
        self._console = console or Console()
        self._title = title
        self._duration_s = duration_s
        self._model = ""
        self._dimensions: tuple[str, ...] = ()
        self._finals: list[Heard] = []
        self._so_far: dict[str, AffectEvent] = {}
        self._several_channels = False
        self._notes: list[str] = []
        self._explained: list[str] = []
        self._recap: list[str] = []
        self._state = "connecting"
        self._position_s = 0.0
        self._open_utterances = 0
        self._refreshed_s = 0.0
        self._live = Live(self._picture(), console=self._console, auto_refresh=False, transient=True)
        self._live.start()

    def heard(self, heard: Heard) -> None:
        """See `Display.heard`."""
        match heard.event:
            case events.SessionStarted() as started:
                self._model = model_name(started)
                self._dimensions = started.model.dimensions if started.model else ()
                self._several_channels = has_several_channels(started)
                self._state = "speech" if self._open_utterances else "listening"
            case events.SpeechStarted():
                self._open_utterances += 1
                self._state = "speech"
            case events.SpeechEnded():
                self._open_utterances = max(0, self._open_utterances - 1)
                self._state = "speech" if self._open_utterances else "listening"
            case AffectEvent(is_final=True) as event:
                self._so_far.pop(event.utterance_id, None)
                self._finals.append(heard)
                if text := explained(event):
                    self._explained.append(f"{len(self._finals):>3}  {text}")
            case AffectEvent() as event:
                self._so_far[event.utterance_id] = event
            case events.Warning() as warning:
                self._notes.append(f"warning {warning.code}: {warning.message}")
            case events.SessionClosing() as closing:
                self._notes.append(f"the server is closing the stream: {name_of(closing.reason)}")
            case events.SessionSummary() as summary:
                self._recap = recap(summary)
            case events.SessionClosed() as closed:
                self._so_far.clear()
                self._state = f"closed: {name_of(closed.reason)}"
            case states.LocalEvent() as local:
                self._line_changed(local)
        self._refresh(force=isinstance(heard.event, AffectEvent))

    def _line_changed(self, local: states.LocalEvent) -> None:
        match local:
            case states.Reconnecting():
                self._state = "reconnecting"
            case states.Resumed(lost=None):
                pass  # `SessionStarted` follows
            case _:
                self._notes.append(state_text(local))
                if not isinstance(local, states.AudioLost | states.Resumed):
                    self._open_utterances = 0

    def sent(self, position_s: float) -> None:
        """See `Display.sent`."""
        self._position_s = position_s
        self._refresh()

    def close(self) -> None:
        """See `Display.close`."""
        self._live.stop()
        self._console.print(self._picture(whole=True))

    def _refresh(self, *, force: bool = False) -> None:
        now_s = time.monotonic()
        if force or now_s - self._refreshed_s >= _REFRESH_S:
            self._refreshed_s = now_s
            self._live.update(self._picture(), refresh=True)

    def _picture(self, *, whole: bool = False) -> RenderableType:
        taken = _LINES_AROUND + len(self._notes) + len(self._recap) + len(self._so_far)
        room = len(self._finals) if whole else max(3, self._console.height - taken)
        notes = [Text(note, style="yellow") for note in self._notes]
        return Group(self._table(room), *notes, *map(Text, self._recap), self._progress())

    def _table(self, room: int) -> Table:
        title = Text.assemble((self._title, "bold"), f"  model {self._model}" if self._model else "")
        table = Table(
            title=title,
            title_justify="left",
            title_style="",
            header_style="dim",
            box=box.SIMPLE_HEAD,
            pad_edge=False,
        )
        table.add_column("#", justify="right", style="dim", min_width=3)
        if self._several_channels:
            table.add_column("channel", justify="right")
        table.add_column("span", no_wrap=True)
        table.add_column("emotion", no_wrap=True, min_width=9)
        table.add_column("", width=_BAR_CELLS + 5, no_wrap=True)
        for name in self._dimensions:
            table.add_column(name, justify="right")
        table.add_column("status", no_wrap=True, min_width=9)
        table.add_column("hang-over", justify="right", no_wrap=True)
        table.add_column("lag", justify="right", no_wrap=True, min_width=6)
        table.add_column("notes", style="dim", no_wrap=True)
        first = max(0, len(self._finals) - room)
        for number, heard in enumerate(self._finals[first:], start=first + 1):
            if isinstance(heard.event, AffectEvent):
                table.add_row(str(number), *self._cells(heard.event, heard.lag_ms))
        for event in self._so_far.values():
            table.add_row("~", *self._cells(event, None), style="dim")
        return table

    def _cells(self, event: AffectEvent, lag_ms: float | None) -> list[RenderableType]:
        shade = colour(event.top_label)
        probability = event.top_probability
        label, bar = Text("-", style="dim"), Text("")
        if probability is not None:
            filled = round(probability * _BAR_CELLS)
            label = Text(event.top_label, style=f"bold {shade}")
            bar = Text.assemble(
                ("━" * filled, shade), ("━" * (_BAR_CELLS - filled), "grey30"), f" {probability:.2f}"
            )
        hangover_ms = event.timing.hangover_ms if event.timing else None
        return [
            *([str(event.channel)] if self._several_channels else []),
            span(event),
            label,
            bar,
            *(level(event, name) or "-" for name in self._dimensions),
            Text(name_of(event.status), style="green" if event.status == AffectStatus.OK else "yellow"),
            "-" if hangover_ms is None else f"{hangover_ms:.0f} ms",
            "-" if lag_ms is None else f"{lag_ms:.0f} ms",
            notes(event) if event.is_final else "so far",
        ]

    def _progress(self) -> Table:
        speaking = self._state == "speech"
        row = Table.grid(padding=(0, 1))
        state = Text(
            f"{'●' if speaking else '○'} {self._state:<12}", style="bold green" if speaking else "dim"
        )
        position = clock(self._position_s, 1)
        if self._duration_s is None:
            row.add_row(state, position)
        else:
            bar = Bar(self._duration_s, 0, self._position_s, width=40, color="cyan", bgcolor="grey30")
            row.add_row(state, bar, f"{position} / {clock(self._duration_s, 1)}")
        return row
