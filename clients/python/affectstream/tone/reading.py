"""What a policy sees of an utterance or a turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from affectstream.contract import DIMENSIONS
from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, TurnAffect
from affectstream.v1 import affect_pb2 as pb

Kind = Literal["utterance", "turn"]
KINDS: Final[tuple[Kind, ...]] = ("utterance", "turn")
CHANGES: Final = tuple(f"{name}_change" for name in DIMENSIONS)
"""In standard deviations against the speaker's baseline."""
STEPS: Final = tuple(f"{name}_step" for name in DIMENSIONS)
"""Since the speaker's utterance before."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Figures of one final event."""

    kind: Kind
    ok: bool
    """It may be acted on."""
    end_s: float
    """On the session's timeline."""
    probabilities: Mapping[str, float]
    """By label."""
    levels: Mapping[str, float]
    """By `DIMENSIONS`, `CHANGES` and `STEPS`, as far as they are known."""


def of_event(event: AffectEvent | TurnAffect) -> Reading:
    """Of a client's event."""
    levels = {name: getattr(event.dimensions, name) for name in DIMENSIONS}
    change = event.change if isinstance(event, AffectEvent) else None
    if change is not None:
        levels |= {f"{name}_change": getattr(change, name) for name in DIMENSIONS}
        levels |= {name: getattr(change, name) for name in STEPS}
    return Reading(
        kind="utterance" if isinstance(event, AffectEvent) else "turn",
        ok=event.status == AffectStatus.OK,
        end_s=event.audio_end.seconds,
        probabilities={score.label: score.probability for score in event.emotions},
        levels={name: value for name, value in levels.items() if value is not None},
    )


def of_message(message: pb.AffectEvent | pb.TurnAffect) -> Reading:
    """Of an event on the wire."""
    levels = {name: getattr(message.dimensions, name) for name in _set(message.dimensions)}
    if isinstance(message, pb.AffectEvent):
        for name in _set(message.change):
            levels[name if name in STEPS else f"{name}_change"] = getattr(message.change, name)
    return Reading(
        kind="utterance" if isinstance(message, pb.AffectEvent) else "turn",
        ok=message.status == pb.AFFECT_STATUS_OK,
        end_s=message.audio_end.ToNanoseconds() / 1e9,
        probabilities={score.label: score.probability for score in message.emotions},
        levels=levels,
    )


def _set(part: pb.Dimensions | pb.BaselineChange) -> list[str]:
    """Names of the fields that a policy knows and that are there."""
    return [field.name for field, _ in part.ListFields() if field.name in (*DIMENSIONS, *STEPS)]
