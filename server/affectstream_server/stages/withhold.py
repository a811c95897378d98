"""What can be taken out of an event, and which events can be done without."""

from __future__ import annotations

from typing import Final

from affectstream.v1 import affect_pb2 as pb

_TURN_VALUES: Final = ("emotions", "top_label", "dimensions", "uncertainty", "guidance")


def withhold(event: pb.AffectEvent) -> None:
    """Take the values out of an event: the speaker withdrew consent."""
    for name in (
        "emotions",
        "top_label",
        "dimensions",
        "uncertainty",
        "change",
        "guidance",
        "cues",
        "saliency",
        "saliency_method",
        "embedding",
        "user_outputs",
        "text_fused",
        "text_weight",
    ):
        event.ClearField(name)
    event.status = pb.AFFECT_STATUS_CONSENT_WITHHELD
    event.status_detail = "the speaker withdrew consent"


def may_go(event: pb.SessionEvent) -> bool:
    """Who reads slowly is spared it: a later event says as much."""
    kind = event.WhichOneof("event")
    return kind == "progress" or (kind == "affect" and event.affect.stage == pb.STAGE_PROVISIONAL)


def has_values(event: pb.SessionEvent) -> bool:
    """It says how somebody spoke."""
    return event.HasField("affect") or event.HasField("turn_affect")


def withhold_values(event: pb.SessionEvent) -> None:
    """Consent was withdrawn: take the values out."""
    if event.HasField("affect"):
        withhold(event.affect)
    elif event.HasField("turn_affect"):
        for name in _TURN_VALUES:
            event.turn_affect.ClearField(name)
        event.turn_affect.status = pb.AFFECT_STATUS_CONSENT_WITHHELD


def withheld(response: bytes) -> bytes:
    """A serialised response without values."""
    parsed = pb.StreamAffectResponse.FromString(response)
    withhold_values(parsed.event)
    return parsed.SerializeToString()
