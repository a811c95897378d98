"""Events as lines: JSON for programs, plain text where there is no terminal."""

from __future__ import annotations

import sys
from typing import TextIO

from google.protobuf.json_format import MessageToJson

from affectstream import events, states
from affectstream.commands.clock import clock
from affectstream.commands.playback import Heard
from affectstream.commands.recap import recap
from affectstream.contract import DIMENSIONS
from affectstream.cues import describe, spans_text
from affectstream.enums import name_of
from affectstream.events import AffectEvent
from affectstream.v1 import affect_pb2 as pb


class JsonLines:
    """One `SessionEvent` a line in proto3 JSON: lowerCamelCase names, unset fields left out.

    The resume token, a secret that this command line has no use for, is left out too. How the connection
    stands goes to `err`.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr

    def heard(self, heard: Heard) -> None:
        """See `Display.heard`."""
        if isinstance(heard.event, states.LocalEvent):
            say_state(heard.event, self._err)
            return
        message = heard.event.proto
        if message.HasField("session_started") and message.session_started.resume_token:
            message = pb.SessionEvent.FromString(message.SerializeToString())
            message.session_started.ClearField("resume_token")
        self._out.write(MessageToJson(message, indent=None) + "\n")
        self._out.flush()

    def sent(self, position_s: float) -> None:
        """See `Display.sent`."""

    def close(self) -> None:
        """See `Display.close`."""


class PlainLines:
    """One line for each affect event and each warning; a provisional one has a tilde for its number.

    How the connection stands goes to `err`.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._err = err or sys.stderr
        self._count = 0
        self._several_channels = False

    def heard(self, heard: Heard) -> None:
        """See `Display.heard`."""
        match heard.event:
            case events.SessionStarted(resumed=False) as started:
                self._several_channels = has_several_channels(started)
                self._line(f"session {started.session_id}, model {model_name(started)}")
            case AffectEvent() as event:
                self._count += event.is_final
                number = f"{self._count:>3}" if event.is_final else "  ~"
                channel = [f"channel {event.channel}"] if self._several_channels else []
                self._line("  ".join([number, *channel, *affect_cells(event, heard.lag_ms)]))
                if text := explained(event):
                    self._line(f"     {text}")
            case events.Warning() as warning:
                self._line(f"warning {warning.code}: {warning.message}")
            case events.SessionSummary() as summary:
                for line in recap(summary):
                    self._line(line)
            case events.SessionClosing() as closing:
                self._line(f"the server is closing the stream: {name_of(closing.reason)}")
            case events.SessionClosed() as closed:
                self._line(f"closed: {name_of(closed.reason)}")
            case states.LocalEvent() as local:
                say_state(local, self._err)

    def sent(self, position_s: float) -> None:
        """See `Display.sent`."""

    def close(self) -> None:
        """See `Display.close`."""

    def _line(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def say_state(event: states.LocalEvent, err: TextIO) -> None:
    """Write what became of the connection, as a message of the command."""
    if text := state_text(event):
        err.write(f"affectstream stream: {text}\n")
        err.flush()


def state_text(event: states.LocalEvent) -> str:
    """What became of the connection, in a few words: ``"the session goes on after 0.2 s"``."""
    match event:
        case states.Reconnecting():
            return f"{event.cause}; attempt {event.attempt} in {event.next_try_s:.1f} s"
        case states.Resumed():
            return f"the session goes on after {event.outage_s:.1f} s{_lost(event.lost)}"
        case states.SessionLost():
            count = len(event.unfinished)
            utterances = "1 utterance" if count == 1 else f"{count} utterances"
            left = f", {utterances} without a final event" if count else ""
            return f"the session is lost{left}: {event.cause}"
        case states.NewSession():
            at = clock(event.origin.seconds, 1)
            return f"a new session, {event.session_id}, goes on at {at}{_lost(event.lost)}"
        case states.AudioLost():
            return f"the line is too slow{_lost(event.lost)}"
    return ""


def _lost(lost: states.Lost | None) -> str:
    return "" if lost is None else f", {lost.seconds:.1f} s of audio lost"


def affect_cells(event: AffectEvent, lag_ms: float | None) -> list[str]:
    """An affect event as columns of text: span, emotion, dimensions, status, hang-over, lag, notes."""
    probability = event.top_probability
    emotion = f"{event.top_label} {probability:.2f}" if probability is not None else "-"
    cells = [f"{span(event)}", f"{emotion:<14}"]
    cells += [f"{name} {told}" for name in DIMENSIONS if (told := level(event, name))]
    cells.append(f"{name_of(event.status):<10}")
    if event.timing is not None and event.timing.hangover_ms is not None:
        cells.append(f"hang-over {event.timing.hangover_ms:.0f} ms")
    if lag_ms is not None:
        cells.append(f"lag {lag_ms:.0f} ms")
    return [*cells, text] if (text := notes(event)) else cells


def level(event: AffectEvent, name: str) -> str:
    """A dimension, and against the speaker's baseline where there is one: ``"0.83 +2.1 sd"``; empty: none."""
    value = getattr(event.dimensions, name, None)
    if value is None:
        return ""
    z_score = getattr(event.change, name, None)
    return f"{value:.2f}" if z_score is None else f"{value:.2f} {z_score:+.1f} sd"


def notes(event: AffectEvent) -> str:
    """What else there is to know of it, in few words: ``"ahead, barge-in"``; often nothing.

    "ahead": its score was begun before the endpoint.
    """
    quality = event.quality
    marks = {
        "ahead": event.timing is not None and event.timing.speculated,
        "barge-in": quality is not None and quality.barge_in,
        "cut": quality is not None and quality.truncated,
        "clipped": quality is not None and quality.clipped,
    }
    told = [mark for mark, holds in marks.items() if holds]
    if event.guidance is not None and event.guidance.rule:
        told.append(f"tone {event.guidance.rule}")
    told += [
        f"user-defined {output.name}: {output.top_label} {output.top_probability or 0:.2f}"
        for output in event.user_outputs
    ]
    return ", ".join(told)


def explained(event: AffectEvent) -> str:
    """Its cues in words, or on which spans its score rests; empty where it has neither."""
    if event.cues:
        return describe(event)
    return f"rests on {spans_text(event.saliency)}" if event.saliency else ""


def has_several_channels(started: events.SessionStarted) -> bool:
    """Events of a session are of different channels."""
    return sum(channel.analyze for channel in started.channels) > 1


def span(event: AffectEvent) -> str:
    """From when to when: ``"0:03.20-0:05.10"``."""
    return f"{clock(event.audio_start.seconds)}-{clock(event.audio_end.seconds)}"


def model_name(started: events.SessionStarted) -> str:
    """Name and version of the model that a session uses."""
    return f"{started.model.name} {started.model.version}".strip() if started.model else "not given"
