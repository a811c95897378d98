"""What a session came to, in a few lines."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict

from affectstream.commands.clock import clock
from affectstream.commands.playback import Heard
from affectstream.commands.recap import ways
from affectstream.contract import DIMENSIONS
from affectstream.enums import AffectStatus, name_of
from affectstream.events import AffectEvent, SessionSummary

DEMONSTRATOR = (
    "The embedded model is a demonstrator: small, trained on acted German speech, four emotions and\n"
    "arousal. It shows how the service works and must not be relied on for real people."
)


def summary(finals: list[Heard], audio_s: float, told: SessionSummary | None = None) -> str:
    """Utterances, statuses, time by emotion, range of each dimension, lag.

    Args:
        finals: The final events of one session, with their lag.
        audio_s: Length of the audio that was sent, in seconds.
        told: The server's own summary, for how the dimensions went.
    """
    events = [heard.event for heard in finals if isinstance(heard.event, AffectEvent)]
    count = "1 utterance" if len(events) == 1 else f"{len(events)} utterances"
    lines = [f"{count} in {clock(audio_s, 1)} of audio"]
    if not events:
        return lines[0]
    statuses = Counter(name_of(event.status) for event in events)
    lines.append(_row("statuses", ", ".join(f"{name} {count}" for name, count in statuses.most_common())))
    lines.append(_row("emotions", _by_time(events)))
    for name in DIMENSIONS:
        values = [v for event in events if (v := getattr(event.dimensions, name)) is not None]
        if values:
            lines.append(
                _row(name, f"{min(values):.2f} to {max(values):.2f}, median {statistics.median(values):.2f}")
            )
    if told is not None:
        lines += ways(told)
    lags_ms = sorted(heard.lag_ms for heard in finals if heard.lag_ms is not None)
    if lags_ms:
        lines.append(
            _row("lag", f"median {statistics.median(lags_ms):.0f} ms, largest {lags_ms[-1]:.0f} ms")
            + " from the audio that decides to the event here"
        )
    hangovers_ms = [e.timing.hangover_ms for e in events if e.timing and e.timing.hangover_ms is not None]
    if hangovers_ms:
        lines.append(
            _row("hang-over", f"median {statistics.median(hangovers_ms):.0f} ms") + " of silence before that"
        )
    return "\n".join(lines)


def _by_time(events: list[AffectEvent]) -> str:
    """Seconds of the utterances that are OK by their top emotion; the rest together as unsure."""
    seconds: defaultdict[str, float] = defaultdict(float)
    for event in events:
        label = event.top_label if event.status == AffectStatus.OK else "no clear emotion"
        seconds[label] += event.duration.seconds
    ordered = sorted(seconds.items(), key=lambda item: -item[1])
    return ", ".join(f"{label} {total:.1f} s" for label, total in ordered)


def _row(name: str, text: str) -> str:
    return f"  {name:<11}{text}"
