"""The driver's process: `python -m bench.driver` with a `Job` on stdin, a JSON `Line` a line on stdout."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import time
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import grpc
import psutil

from affectstream.v1 import affect_pb2 as pb
from bench.account import Account, Heard
from bench.channel import Channel, connect
from bench.histogram import Histogram
from bench.job import Job, Line, Run
from bench.machine import Gauge, Reading
from bench.pace import Probe, pace, until
from bench.scenario import FLOORS, Schedule
from bench.stream import Stream, metadata
from bench.talks import CONFIG, END_OF_AUDIO, NOT_SCORED, NoTalks, Talks, read

_STREAMS_A_CONNECTION: Final = 10
"""As a voice agent's worker would: several calls on each connection."""
_CONNECT_S: Final = 10.0
_PRIME_S: Final = 15.0
_IDLE_PROBES: Final = 10
_IDLE_PROBE_S: Final = 0.025
PROBE_S: Final = 0.1
"""Rare enough that its cost does not show."""
_END_S: Final = 30.0


class CallEnded(Exception):
    """The server ended a call before its audio was over; the message is its status."""


class Driver:
    """Runs one job: prime, idle readings, ramp, warm-up, window, end of audio."""

    def __init__(self, job: Job) -> None:
        """Read and serialise the speech. Raises `NoTalks`."""
        self._job = job
        self._scenario = job.scenario
        self._gauge = Gauge(job.server_pid)
        frame_samples = job.scenario.frame_samples
        self._talks = Talks(tuple(read(Path(path), frame_samples) for path in job.talks))

    async def run(self) -> Run:
        """Drive the scenario once."""
        connections = -(-self._scenario.streams // _STREAMS_A_CONNECTION)
        channels = [connect(self._scenario.kind, self._job.address) for _ in range(connections)]
        try:
            async with asyncio.timeout(_CONNECT_S):
                await asyncio.gather(*(channel.ready() for channel in channels))
            await self._prime(channels[0])
            return await self._measure(channels)
        finally:
            await asyncio.gather(*(channel.close() for channel in channels))

    async def _prime(self, channel: Channel) -> None:
        """One stream as fast as it goes, so that what is made once is there before memory is read."""
        talk, _ = self._talks.of_stream(0)
        call = channel.open(metadata(self._job.token))
        not_scored = (NOT_SCORED,) if self._scenario.kind == "listen" else ()
        spoken = talk[: round(_PRIME_S * 1_000 / self._scenario.frame_ms)]
        try:
            for request in (CONFIG, *not_scored, *spoken, END_OF_AUDIO):
                await call.write(request)
            await call.done_writing()
            async for _ in call:
                pass
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):  # a write into a call that is over
            raise CallEnded(f"{(await call.code()).name}: {await call.details()}") from None

    async def _measure(self, channels: list[Channel]) -> Run:
        probe = Probe(channels[0])
        idle_probes = await probe.idle(_IDLE_PROBES, _IDLE_PROBE_S)
        idle = self._gauge.read()
        gc.collect()
        gc.disable()  # a collection would hold up every stream of the driver
        schedule = Schedule(self._scenario, time.monotonic_ns() + 100_000_000)
        wall_ns = time.time_ns() - time.monotonic_ns()
        streams = [
            Stream(
                channels[number % len(channels)],
                number,
                schedule,
                *self._talks.of_stream(number),
                metadata=metadata(self._job.token),
            )
            for number in range(self._scenario.streams)
        ]
        (start, end, probes), _ = await asyncio.gather(
            self._watch(schedule, probe), pace(schedule, streams, _tell_progress)
        )
        gc.enable()
        await asyncio.gather(*(stream.finished(_END_S) for stream in streams))
        drift_ns = time.time_ns() - time.monotonic_ns() - wall_ns
        account = self._account(schedule, streams, wall_ns)
        lateness: array[int] = array("q")
        for stream in streams:
            lateness.extend(stream.lateness_ns)
        times = account.lags | {
            "driver_lateness_ms": Histogram(lateness),
            "loop_probe_ms": probes,
            "loop_probe_idle_ms": idle_probes,
        }
        window_s = end.server.at_s - start.server.at_s
        return Run(
            audio_s=len(lateness) * self._scenario.frame_ms / 1_000,
            server_cpu_s=end.server.cpu_s - start.server.cpu_s,
            driver_cpu_share=(end.driver_cpu_s - start.driver_cpu_s) / window_s,
            others_cpu_share=max(0.0, end.server.others_cpu_s - start.server.others_cpu_s) / window_s,
            rss_idle_kib=idle.rss_kib,
            rss_kib=end.server.rss_kib,
            histograms={name: histogram.encode() for name, histogram in times.items()},
            blocked_frames=sum(stream.blocked_frames for stream in streams),
            declared=account.declared,
            delivered=account.delivered,
            in_time=account.in_time,
            refused_streams=sum(bool(stream.refusals) for stream in streams),
            refusals=sum(len(stream.refusals) for stream in streams),
            statuses=dict(account.statuses),
            scores_used=account.scores_used,
            scores_dropped=account.scores_dropped,
            compute_s=account.compute_ms / 1_000,
            faults=account.faults,
            clock_drift_ms=drift_ns / 1e6,
            load_1min=os.getloadavg()[0],
        )

    async def _watch(self, schedule: Schedule, probe: Probe) -> tuple[_Bound, _Bound, Histogram]:
        """Read the processes at both ends of the window, and probe the server's loop within it."""
        start_ns, end_ns = schedule.window_ns
        await until(start_ns)
        start = self._bound()
        probes = await probe.ask(start_ns, end_ns, PROBE_S)
        await until(end_ns)
        return start, self._bound(), probes

    def _bound(self) -> _Bound:
        own = psutil.Process().cpu_times()
        return _Bound(self._gauge.read(), own.user + own.system)

    def _account(self, schedule: Schedule, streams: list[Stream], wall_ns: int) -> Account:
        """The streams' events on the server's clock, which lies ``wall_ns`` after the schedule's."""
        account = Account()
        on_wall = Schedule(schedule.scenario, schedule.origin_ns + wall_ns)
        for stream in streams:
            if stream.failure:
                account.faults.append(f"stream {stream.number}: {stream.failure}")
            if self._scenario.kind not in FLOORS and not stream.refusals:
                heard = [
                    Heard(received_ns + wall_ns, pb.StreamAffectResponse.FromString(data).event)
                    for received_ns, data in stream.received
                ]
                account.add_stream(stream.number, heard, on_wall)
        return account


@dataclass(frozen=True, slots=True)
class _Bound:
    """The processes at one end of the window."""

    server: Reading
    driver_cpu_s: float


def _tell_progress(share: float) -> None:
    _tell({"progress": round(share, 3)})


def _tell(line: Line) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def main() -> int:
    try:
        driver = Driver(Job.from_json(sys.stdin.read()))
        _tell({"run": asyncio.run(driver.run())})
    except NoTalks as error:
        _tell({"error": str(error)})
    except grpc.aio.AioRpcError as error:
        _tell({"error": f"the server answered {error.code().name}: {error.details()}"})
    except CallEnded as error:
        _tell({"error": f"the server ended the first call early with {error}"})
    except TimeoutError:
        _tell({"error": f"no connection to the server within {_CONNECT_S:.0f} s"})
    except psutil.NoSuchProcess:
        _tell({"error": "the server's process is gone"})
    else:
        return 0
    return 1


if __name__ == "__main__":
    sys.exit(main())
