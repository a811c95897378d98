"""Controls that a new call has to be given again, each in its place among the audio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from affectstream import errors
from affectstream.v1 import affect_pb2 as pb

MOST_PENDING: Final = 256
"""Controls without an acknowledgement; a server knows as many again."""

_ENDS: Final = {
    "turn_ended": "turn_started",
    "agent_speech_ended": "agent_speech_started",
    "speech_ended": "speech_started",
    "flush_utterance": "speech_started",
    "audio_resumed": "audio_paused",
}
_STANDS: Final = frozenset({*_ENDS.values(), "consent_withdrawn", "end_of_audio"})


@dataclass(frozen=True, slots=True)
class Given:
    """A control, and where it was given."""

    number: int
    """From 1, in the order of the calls."""
    at: int
    """After the audio before this position, and before the audio from there on."""
    control: pb.Control


class Pending:
    """Controls that were not acknowledged, and those whose effect lasts."""

    def __init__(self) -> None:
        self._count = 0
        self._waiting: dict[int, Given] = {}
        self._standing: dict[tuple[str, int | None], Given] = {}
        self.is_ended = False
        """The end of audio was added."""

    def add(self, control: pb.Control, at: int) -> None:
        """Keep a control until its `control_id` is acknowledged.

        Raises:
            ResourceExhausted: as many wait as may.
        """
        ends = control.HasField("end_of_audio")
        if len(self._waiting) >= MOST_PENDING and not ends:
            raise errors.ResourceExhausted(
                f"{MOST_PENDING} controls wait to be acknowledged: no more until the server has answered",
                reason="CONTROLS_PENDING",
                field="controls",
                value=str(len(self._waiting)),
                limit=str(MOST_PENDING),
            )
        self._count += 1
        self.is_ended = self.is_ended or ends
        given = self._waiting[self._count] = Given(self._count, at, control)
        self._note_standing(given)

    def acknowledge(self, control_id: str) -> None:
        """The server has answered; nothing happens where none waits under that id."""
        for number, given in self._waiting.items():
            if given.control.control_id == control_id:
                del self._waiting[number]
                return

    def after(self, number: int) -> Given | None:
        """The first that waits after the one of that number."""
        return next((given for key, given in self._waiting.items() if key > number), None)

    def begin_anew(self) -> None:
        """A new session has heard nothing: what lasts is to be said again."""
        again = {given.number: given for given in self._standing.values()}
        self._waiting = dict(sorted((again | self._waiting).items()))

    def _note_standing(self, given: Given) -> None:
        kind = given.control.WhichOneof("control") or ""
        channel = given.control.channel if given.control.HasField("channel") else None
        ended = _ENDS.get(kind)
        for key in tuple(self._standing):
            if key[0] == ended and channel in (None, key[1]):
                del self._standing[key]
        if kind in _STANDS:
            self._standing[kind, channel] = given
