"""What a driver's process is told, and what it tells back."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TypedDict

from bench.scenario import Scenario


@dataclass(frozen=True, slots=True)
class Job:
    """What the driver is told: a scenario, the server, and files with speech."""

    scenario: Scenario
    address: str
    server_pid: int
    talks: tuple[str, ...]
    token: str = ""
    """Sent with each call, where there is one."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Job:
        values = json.loads(text)
        return cls(
            scenario=Scenario(**values["scenario"]),
            address=values["address"],
            server_pid=values["server_pid"],
            talks=tuple(values["talks"]),
            token=values["token"],
        )


class Run(TypedDict):
    """One run of a scenario, as JSON. Finals, statuses and faults are of the whole run, the rest of its
    window."""

    audio_s: float
    """Audio whose frames were due in the window, over all streams."""
    server_cpu_s: float
    """User and system time of the server's processes."""
    driver_cpu_share: float
    """The driver's CPU time over wall time; near 1 it is the bottleneck, and nothing else counts."""
    others_cpu_share: float
    """CPU time of everything else on the machine over wall time, in cores."""
    rss_idle_kib: float
    """Resident memory of the server after it was primed, without streams."""
    rss_kib: float
    """Resident memory at the end of the window."""
    histograms: dict[str, str]
    """By figure, see `Histogram.encode`."""
    blocked_frames: int
    """Frames that fell due while the server did not read."""
    declared: int
    delivered: int
    in_time: int
    """Finals of the window that their client had within `bench.account.IN_TIME_MS`."""
    refused_streams: int
    """Streams that the server had no room for, each told when to come again."""
    refusals: int
    """Calls of theirs."""
    statuses: dict[str, int]
    scores_used: int
    """Scores begun before an endpoint that became finals."""
    scores_dropped: int
    """Scores begun before an endpoint that did not come."""
    compute_s: float
    """The model's own time, of utterances that ended in the window."""
    faults: list[str]
    clock_drift_ms: float
    """How far the wall clock moved against the monotonic one; lags are wrong by as much."""
    load_1min: float


Line = dict[str, float] | dict[str, Run] | dict[str, str]
"""What the driver writes: ``progress`` (0..1), ``run`` or ``error``."""
