"""The bench as people run it: real processes, a few seconds, every final."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream_server.auth import tokens
from bench.__main__ import chosen, main, parser
from bench.account import LAGS
from bench.backends import Backends
from bench.commands import NAMED
from bench.driver import PROBE_S
from bench.histogram import Histogram
from bench.job import Job
from bench.machine import Cores, Gauge, on_core, versions
from bench.measure import MeasurementFailed, drive, run_once
from bench.plan import FULL, QUICK
from bench.scenario import Scenario
from bench.server import Server, ServerFailed
from bench.talks import find

LIVENESS_MS = 5_000
"""No answer is later than this on a machine that works at all, however busy."""

STALL_S = 0.8

TIMES = {"count", "p50", "p95", "p99", "p99.9", "max", "run_p50", "run_p99", "histogram"}
OF_EVERY_CONFIGURATION = {
    *("name", "kind", "streams", "frame_ms", "processes", "seconds", "runs"),
    *(
        "cpu_s_per_audio_hour",
        "server_cpu_share",
        "rss_kib_per_stream",
        "loop_probe_ms",
        "loop_probe_idle_ms",
        "driver",
    ),
    *("others_cpu_share", "load_1min", "clock_drift_ms", "faults"),
}
OF_THE_SERVICE = {*LAGS, "speculation", "model_s_per_audio_hour", "finals", "floor_ratio", "always_on_ratio"}
VERSIONS = {
    *("python", "affectstream", "grpcio", "protobuf", "numpy", "onnxruntime"),
    *("commit", "cpu", "cores", "kernel"),
}


@pytest.fixture
def bundled_speech(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFFECTSTREAM_AUDIO", raising=False)


@pytest.mark.usefixtures("bundled_speech")
def test_two_streams_for_a_few_seconds(tmp_path: Path) -> None:
    output = tmp_path / "latest.json"
    options = ["--streams", "2", "--seconds", "3", "--runs", "1", "--output", str(output)]
    done = subprocess.run(
        [sys.executable, "-m", "bench", *options], capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "bundled sample" in done.stdout
    assert "core" in done.stdout
    document = json.loads(output.read_text(encoding="utf-8"))
    assert document["passed"]
    assert document["versions"].keys() == VERSIONS
    assert {"date", "command", "pinning", "speech"} <= document.keys()
    assert document.keys() >= set(NAMED)
    service, floor = document["configurations"]
    (batched,) = document["vad"]
    assert (batched["row"], batched["streams"]) == ("batched", 2)
    assert batched["cpu_s_per_audio_hour"]["median"] > 0
    assert service.keys() == OF_EVERY_CONFIGURATION | OF_THE_SERVICE
    assert floor.keys() == OF_EVERY_CONFIGURATION
    assert service["finals"]["share"] == 1.0
    assert service["finals"]["declared"] >= 2
    for name in LAGS:
        assert service[name].keys() == TIMES
    assert service["client_lag_ms"]["count"] >= 1
    assert service["client_lag_ms"]["max"] < LIVENESS_MS
    assert service["driver"]["lateness_ms"]["count"] == 2 * 150
    assert service["driver"]["lateness_ms"]["max"] < LIVENESS_MS
    assert service["cpu_s_per_audio_hour"]["median"] > 0


@pytest.mark.usefixtures("bundled_speech")
def test_a_server_that_refuses_to_start_is_told_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AFFECTSTREAM_SCORING__NO_SUCH_KEY", "1")
    output = tmp_path / "latest.json"
    assert main(["--streams", "1", "--seconds", "1", "--runs", "1", "--output", str(output)]) == 2
    assert "no_such_key" in capsys.readouterr().err
    assert not output.exists()


def test_audio_that_cannot_be_read_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--streams", "1", "--seconds", "1", "--runs", "1", "--output", str(tmp_path / "latest.json")]
    assert main([*options, "--audio", str(tmp_path / "none.wav")]) == 2
    assert "none.wav: cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "options", [["--streams", "0"], ["--frame-ms", "1001"], ["--seconds", "nan"], ["--runs", "many"]]
)
def test_options_out_of_range_are_refused_by_name(
    options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        main(options)
    assert options[0] in capsys.readouterr().err


def test_options_choose_scenarios_each_with_its_floor() -> None:
    def names(*options: str) -> list[str]:
        plan = chosen(parser().parse_args(options))
        assert len({tuple(steps) for steps in plan.rounds}) == 1
        return [one.name for one in plan.rounds[0]]

    assert names("--streams", "5", "--kind", "listen", "late") == [
        *("listen 5 × 20 ms", "late 5 × 20 ms", "floor 5 × 20 ms", "vad batched 5")
    ]
    assert names("--streams", "5", "6", "--frame-ms", "20", "40", "--no-floor") == [
        *("service 5 × 20 ms", "service 5 × 40 ms", "service 6 × 20 ms", "service 6 × 40 ms")
    ]
    assert names("--streams", "5", "5", "--no-floor") == ["service 5 × 20 ms"]
    assert len(chosen(parser().parse_args(["--streams", "5", "--runs", "4"])).rounds) == 4


def test_without_options_all_parts_are_measured() -> None:
    assert chosen(parser().parse_args([])) is QUICK
    assert chosen(parser().parse_args(["--full"])) is FULL
    assert not chosen(parser().parse_args(["--streams", "5"])).searches
    for plan in (QUICK, FULL):
        assert {(one.kind, one.frame_ms) for one in plan.searches} >= {("recorded", 20), ("recorded", 100)}
        assert [load.streams for load in plan.overhead] == [1, 50]
        assert plan.idle_streams == 1_000
        for steps in plan.rounds:
            assert len(set(steps)) == len(steps)
            assert {"listen 100 × 20 ms", "floor 100 × 20 ms", "vad batched 100"} <= {
                one.name for one in steps
            }
    assert FULL.churn_minutes == 20
    assert len(FULL.rounds) >= 5


def test_versions_are_known() -> None:
    found = versions()
    assert found.keys() == VERSIONS
    assert all(found[name] for name in VERSIONS - {"commit"})


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system cannot pin processes")
def test_a_process_is_pinned_and_the_one_that_starts_it_is_not() -> None:
    before = os.sched_getaffinity(0)
    core = max(before)
    with on_core(core):
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"],
            capture_output=True,
            text=True,
            check=True,
        )
    assert child.stdout.strip() == f"{{{core}}}"
    assert os.sched_getaffinity(0) == before


def test_the_gauge_reads_cpu_time_and_memory() -> None:
    gauge = Gauge(os.getpid())
    before = gauge.read()
    while gauge.read().cpu_s - before.cpu_s < 0.02:
        sum(range(10_000))
    after = gauge.read()
    assert after.at_s > before.at_s
    assert after.rss_kib > 1_000


@pytest.mark.usefixtures("bundled_speech")
def test_without_a_triton_the_rest_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    floor = Scenario(1, 100, seconds=1.0, warmup_s=0.0, kind="floor")
    plan = replace(QUICK, rounds=[[floor]], searches=(), idle_streams=0, overload_rounds=0)
    monkeypatch.setattr("bench.__main__.QUICK", plan)
    monkeypatch.setattr("tools.triton.server.BINARY", tmp_path / "none")
    output = tmp_path / "latest.json"
    assert main(["--output", str(output)]) == 0
    document = json.loads(output.read_text(encoding="utf-8"))
    assert document["configurations"][0]["kind"] == "floor"
    assert document["not_measured"].keys() == {"overhead"}
    assert "overhead was not measured" in capsys.readouterr().out


async def test_what_the_server_logged_is_told_where_it_ends_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(tokens.make("someone", "bench", None)[1], encoding="utf-8")
    monkeypatch.setenv("AFFECTSTREAM_AUTH__TOKENS_FILE", str(file))
    cores, talks = Cores(None, None), find(environ={}).paths
    async with Backends(cores, tmp_path / "log") as backends:
        with pytest.raises(MeasurementFailed, match=r"(?s)service 1 × 20 ms: .*no token"):
            await run_once(Scenario(1, 20, seconds=1.0), talks, cores, backends)


async def test_a_server_is_ready_inside_and_gone_after() -> None:
    async with Server("floor", None) as server:
        host, _, port = server.address.rpartition(":")
        assert host == "127.0.0.1"
        _, writer = await asyncio.open_connection(host, int(port))
        writer.close()
        await writer.wait_closed()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection(host, int(port))


async def test_a_server_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTSTREAM_CONFIG", "/no/such/file.yaml")
    with pytest.raises(ServerFailed, match=r"ended before it was ready\n.*/no/such/file\.yaml"):
        async with Server("service", None):
            pass


async def test_a_bare_websocket_server_takes_every_frame() -> None:
    scenario = Scenario(streams=3, seconds=1.0, warmup_s=0.0, kind="websocket")
    async with Server("websocket", None) as server:
        talks = (str(find(environ={}).paths[0]),)
        run = await drive(Job(scenario, server.address, server.pid, talks), None, lambda _: None)
    assert run["faults"] == []
    assert run["audio_s"] == pytest.approx(3.0)
    assert len(Histogram.decode(run["histograms"]["loop_probe_ms"])) == 10


async def test_listening_declares_every_utterance_and_scores_none() -> None:
    scenario = Scenario(streams=2, frame_ms=100, seconds=4.0, kind="listen")
    async with Server("listen", None) as server:
        talks = (str(find(environ={}).paths[0]),)
        run = await drive(Job(scenario, server.address, server.pid, talks), None, lambda _: None)
    assert run["faults"] == []
    assert run["delivered"] == run["declared"] >= 2
    assert run["statuses"] == {"CONSENT_WITHHELD": run["delivered"]}
    assert run["compute_s"] == 0.0


async def test_a_stalled_server_shows_in_full(tmp_path: Path) -> None:
    """A closed loop would ask again only after the stall, and read next to nothing."""
    speech = tmp_path / "silence.wav"
    soundfile.write(speech, np.zeros(16_000, np.int16), 16_000)
    scenario = Scenario(streams=2, seconds=3.0, warmup_s=0.5, kind="floor")
    stalls: list[asyncio.Task[None]] = []

    async def stall(pid: int) -> None:
        os.kill(pid, signal.SIGSTOP)
        await asyncio.sleep(STALL_S)
        os.kill(pid, signal.SIGCONT)

    async with Server("floor", None) as server:

        def stall_within_the_window(share: float) -> None:
            if share > 0.4 and not stalls:
                stalls.append(asyncio.create_task(stall(server.pid)))

        job = Job(scenario, server.address, server.pid, (str(speech),))
        run = await drive(job, None, stall_within_the_window)
        await asyncio.gather(*stalls)
    assert stalls
    assert run["faults"] == []
    longest_ms = Histogram.decode(run["histograms"]["loop_probe_ms"]).percentile_ms(100.0)
    assert longest_ms is not None
    assert longest_ms > (STALL_S - PROBE_S) * 1_000 * 0.9
    assert longest_ms < LIVENESS_MS
