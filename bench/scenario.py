"""What is driven, and when every frame of every stream is due."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

from affectstream.contract import SAMPLE_RATE_HZ

Kind = Literal["service", "late", "listen", "recorded", "triton", "floor", "websocket"]
"""What is driven:

service: the whole service with the embedded model. late: the same, but scoring begins at the endpoint and not
before. listen: without scoring: receive, decode, detect, segment, events. recorded: with a Triton that only
remembers how late a real one was (`bench.recorded`). triton: with a real one on this machine's CPU. floor: a
bare grpc.aio server that reads the same frames and drops them. websocket: a bare WebSocket server that does.
"""

FLOORS: Final = frozenset({"floor", "websocket"})
"""Kinds that answer nothing."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """Some streams of 16 kHz PCM in frames of one length, paced at real time.

    Streams start evenly over ``ramp_s``; ``warmup_s`` later the measured window of ``seconds`` begins,
    at the end of which the first stream ends. Frames of different streams are spread evenly over a
    frame's length.
    """

    streams: int
    frame_ms: int = 20
    seconds: float = 5.0
    warmup_s: float = 1.5
    ramp_s: float = 0.5
    kind: Kind = "service"
    processes: int = 1
    """Of the server, on one port."""
    max_streams: int = 0
    """The server's limit: streams above it are refused, which is no fault then. 0: its default, and it is."""

    @property
    def name(self) -> str:
        more = f", {self.processes} processes" if self.processes > 1 else ""
        more += f", {self.max_streams} admitted" if self.max_streams else ""
        return f"{self.kind} {self.streams} × {self.frame_ms} ms{more}"

    @property
    def settings(self) -> dict[str, str]:
        """What its server is told, as environment variables."""
        told = {}
        if self.processes > 1:
            told["AFFECTSTREAM_SERVER__PROCESSES"] = str(self.processes)
        if self.max_streams:
            told["AFFECTSTREAM_SERVER__MAX_STREAMS"] = str(self.max_streams)
        return told

    @property
    def frame_ns(self) -> int:
        """Time between two frames of a stream."""
        return self.frame_ms * 1_000_000

    @property
    def frame_samples(self) -> int:
        """Samples of a frame."""
        return self.frame_ms * SAMPLE_RATE_HZ // 1_000

    @property
    def frames(self) -> int:
        """Frames that each stream sends."""
        return math.ceil((self.ramp_s + self.warmup_s + self.seconds) * 1_000 / self.frame_ms)

    @property
    def ramp_frames(self) -> int:
        """Frame periods over which the streams start."""
        return math.ceil(self.ramp_s * 1_000 / self.frame_ms)

    @property
    def periods(self) -> int:
        """Frame periods from the first frame of the first stream to the last of the last."""
        return self.frames + self.start_period(self.streams - 1)

    def start_period(self, stream: int) -> int:
        """The frame period in which a stream sends its first frame."""
        return self.ramp_frames * stream // self.streams

    def slot_ns(self, period: int, stream: int) -> int:
        """When a stream's frame of a period is due, from the scenario's beginning."""
        return period * self.frame_ns + self.frame_ns * stream // self.streams


@dataclass(frozen=True, slots=True)
class Schedule:
    """A scenario that began at ``origin_ns`` of some clock."""

    scenario: Scenario
    origin_ns: int

    def due_ns(self, stream: int, frame: int) -> int:
        """When a frame of a stream, counted from 0, is due."""
        scenario = self.scenario
        return self.origin_ns + scenario.slot_ns(scenario.start_period(stream) + frame, stream)

    def due_of_position_ns(self, stream: int, position_samples: int) -> int:
        """When the audio before a position was due: the frame that holds the sample before it."""
        last_sample = max(position_samples - 1, 0)
        return self.due_ns(stream, last_sample // self.scenario.frame_samples)

    @property
    def window_ns(self) -> tuple[int, int]:
        """Beginning and end of what is measured."""
        start_ns = self.origin_ns + round((self.scenario.ramp_s + self.scenario.warmup_s) * 1e9)
        return start_ns, start_ns + round(self.scenario.seconds * 1e9)
