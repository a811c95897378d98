"""What an agent's pipeline has heard and the server has not taken yet: bounded, and adding never waits."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Final, Literal

MOST_AUDIO_S: Final = 2.0
"""Audio that may wait; a server takes controls no further back."""
MOST_CONTROLS: Final = 64

ControlKind = Literal["speech_started", "speech_ended", "agent_speech_started", "agent_speech_ended"]


@dataclass(frozen=True, slots=True)
class Audio:
    """Some audio and where it begins, in samples since the first."""

    start: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Control:
    """A control of `AffectStream` by its name, and where it holds, in samples since the first."""

    position: int
    kind: ControlKind


class Backlog:
    """A queue for one reader. When it is full the oldest audio goes, and is counted.

    Args:
        rate_hz: Samples a second.
        frame_bytes: Bytes of one sample of every channel.
    """

    def __init__(self, rate_hz: int, frame_bytes: int) -> None:
        self._most_samples = round(MOST_AUDIO_S * rate_hz)
        self._frame_bytes = frame_bytes
        self._audio: deque[tuple[int, Audio]] = deque()
        self._controls: deque[tuple[int, Control]] = deque()
        self._added = 0
        self._waiting_samples = 0
        self._more = asyncio.Event()
        self.ended = False
        """Nothing more is added."""
        self.position = 0
        """After the newest audio, in samples since the first."""
        self.dropped_samples = 0
        """Audio that was dropped because the server did not take it in time."""

    @property
    def oldest(self) -> int:
        """Position of the oldest audio that waits; `position` if none does."""
        return self._audio[0][1].start if self._audio else self.position

    def add_audio(self, data: bytes) -> None:
        """Add audio that follows the audio before. A torn last sample is cut off."""
        samples = len(data) // self._frame_bytes
        if not samples or self.ended:
            return
        audio = Audio(self.position, data[: samples * self._frame_bytes])
        self._audio.append((self._next_number(), audio))
        self.position += samples
        self._waiting_samples += samples
        while self._waiting_samples > self._most_samples and len(self._audio) > 1:
            self.dropped_samples += self._take_audio(self._audio.popleft()[1])

    def add_control(self, kind: ControlKind, position: int) -> None:
        """Add a control that is sent after the audio given so far."""
        if self.ended:
            return
        if len(self._controls) >= MOST_CONTROLS:
            self._controls.popleft()
        self._controls.append((self._next_number(), Control(position, kind)))

    def begins_in_speech(self, *, now: bool) -> bool:
        """Whether what waits begins inside an utterance; `now`: whether one is open after all of it."""
        kinds = (control.kind for _, control in self._controls)
        first = next((kind for kind in kinds if kind.startswith("speech_")), None)
        return now if first is None else first == "speech_ended"

    def end(self) -> None:
        """Nothing more is added: `get` gives None once all was taken."""
        self.ended = True
        self._more.set()

    async def get(self) -> Audio | Control | None:
        """The next in the order of adding; waits for it. None: the end."""
        while not (self._audio or self._controls):
            if self.ended:
                return None
            self._more.clear()
            await self._more.wait()
        if not self._audio or (self._controls and self._controls[0][0] < self._audio[0][0]):
            return self._controls.popleft()[1]
        item = self._audio.popleft()[1]
        self._take_audio(item)
        return item

    def _next_number(self) -> int:
        self._added += 1
        self._more.set()
        return self._added

    def _take_audio(self, item: Audio) -> int:
        samples = len(item.data) // self._frame_bytes
        self._waiting_samples -= samples
        return samples
