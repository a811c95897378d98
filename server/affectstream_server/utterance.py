"""What travels from the endpoint to the event: an utterance that began, and one that ended."""

from __future__ import annotations

from dataclasses import dataclass

from affectstream_server.stages.decode import Samples
from affectstream_server.stages.segment import Ended, Started


@dataclass(frozen=True, slots=True)
class Utterance:
    """An utterance whose endpoint was declared, with its audio."""

    utterance_id: str
    continues: str
    channel: int
    bounds: Ended
    audio: Samples
    barge_in: bool
    """The agent was speaking when it began."""
    decision_ms: float | None
    """Arrival of the deciding audio to the endpoint declared; None where the wall clock decided."""


@dataclass(frozen=True, slots=True)
class Opened:
    """An utterance was declared started."""

    utterance_id: str
    continues: str
    bounds: Started
    barge_in: bool
