"""The live view of a watch: state, how arousal and valence went, the last events, and how late they came."""

from __future__ import annotations

from collections import deque
from typing import Final

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from affectstream import events
from affectstream.commands.display import affect_cells
from affectstream.commands.playback import Heard
from affectstream.commands.recap import recap, sparkline
from affectstream.enums import name_of
from affectstream.errors import AffectStreamError
from affectstream.events import AffectEvent, Event
from affectstream.palette import colour

_WIDTH: Final = 48
"""Finals of a sparkline."""
_LAST: Final = 10
"""Events below it."""
_SHOWN: Final = ("arousal", "valence")


class WatchView:
    """See `affectstream.commands.playback.Display`."""

    def __init__(self, title: str, console: Console | None = None) -> None:
        self._title = title
        self._console = console or Console()
        self._states: dict[str, str] = {}
        self._values: dict[str, deque[float | None]] = {name: deque(maxlen=_WIDTH) for name in _SHOWN}
        self._last: deque[Text] = deque(maxlen=_LAST)
        self._lags: deque[float] = deque(maxlen=_WIDTH)
        self._finals = 0
        self._note = ""
        self._live = Live(self._picture(), console=self._console, auto_refresh=False)
        self._live.start()

    def heard(self, heard: Heard) -> None:
        """See `Display.heard`."""
        event = heard.event
        if not event.sequence and isinstance(event, events.Warning):
            self._note = "" if event.code == "BUS_BACK" else event.message
        else:
            self._note = ""
            self._take(event, heard.lag_ms)
        self._live.update(self._picture(), refresh=True)

    def lost(self, cause: AffectStreamError | None) -> None:
        """The line is lost, or stands again: None."""
        note = "" if cause is None else f"line lost, trying again: {cause}"
        if note or self._note.startswith("line lost"):
            self._note = note
            self._live.update(self._picture(), refresh=True)

    def sent(self, position_s: float) -> None:
        """See `Display.sent`: a watch sends nothing."""

    def close(self) -> None:
        """See `Display.close`."""
        self._live.stop()

    def _take(self, event: Event, lag_ms: float | None) -> None:
        name = event.session_id
        if lag_ms is not None:
            self._lags.append(lag_ms)
        match event:
            case events.SessionStarted():
                self._states[name] = "listening"
            case events.SpeechStarted():
                self._states[name] = "speech"
            case events.SpeechEnded():
                self._states[name] = "listening"
            case AffectEvent() as affect:
                self._affect(affect, lag_ms)
            case events.TurnAffect() as turn:
                self._line(f"turn {turn.turn_id}: {turn.top_label or name_of(turn.status)}", turn.top_label)
            case events.Warning() as warning:
                self._line(f"warning {warning.code}: {warning.message}")
            case events.SessionSummary() as summary:
                for line in recap(summary):
                    self._line(line)
            case events.SessionClosing() as closing:
                self._line(f"closing: {name_of(closing.reason)}")
            case events.SessionClosed() as closed:
                self._states[name] = f"closed: {name_of(closed.reason)}"
                self._line(f"{name} closed: {name_of(closed.reason)}")
        if len(self._states) > 2 * _LAST:
            del self._states[next(iter(self._states))]

    def _affect(self, event: AffectEvent, lag_ms: float | None) -> None:
        if event.is_final:
            self._finals += 1
            for dimension, values in self._values.items():
                values.append(getattr(event.dimensions, dimension))
        number = f"{self._finals:>3}" if event.is_final else "  ~"
        self._line("  ".join([number, *affect_cells(event, lag_ms)]), event.top_label)

    def _line(self, text: str, label: str = "") -> None:
        self._last.append(Text(text, style=colour(label) if label else "dim", overflow="ellipsis"))

    def _picture(self) -> Group:
        states = list(self._states.items())
        state = states[-1][1] if len(states) == 1 else f"{len(states)} sessions" if states else "waiting"
        head = Text.assemble((self._title, "bold"), "  ", state)
        if self._lags:
            ordered = sorted(self._lags)
            head.append(f"  lag {self._lags[-1]:.0f} ms, median {ordered[len(ordered) // 2]:.0f} ms")
        grid = Table.grid(padding=(0, 2))
        for name, values in self._values.items():
            known = [value for value in values if value is not None]
            newest = f"{known[-1]:.2f}" if known else "-"
            grid.add_row(name, sparkline(values), newest)
        return Group(head, grid, *self._last, Text(self._note, style="yellow"))
