"""Processes that crash, cannot start, are told to end, or lose their supervisor."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import grpc
import psutil
import pytest

from affectstream import AffectClient, AffectStream, Event, LocalEvent, NewSession, SpeechStarted
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cannot_listen import CannotListen
from affectstream_server.processes import supervisor
from affectstream_server.processes.port import Port
from affectstream_server.settings import load
from tests.support.marks import written_by
from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, watched
from tests.support.wire import finals as raw_finals
from tests.support.wire import of_kind
from tests.wire.client.talks import PATIENT, RECORDING, collect, finals, of_type, play, uncut, until
from tests.wire.processes.several import asked, lines_to_each, on, two_processes, workers
from tests.wire.resuming import frames

TALK = sample_talk()[: 16 * 9_000]
"""Two utterances, and the beginning of the third."""
WITHIN_2 = 16 * 5_600
RESTART_S = 2.0
"""From a crash to another process that listens."""


def connections(child: psutil.Process, status: str) -> int:
    """How many the process has at its port that are ESTABLISHED, or LISTEN."""
    return sum(one.status == status for one in child.net_connections("tcp"))


def held(server: subprocess.Popen[str]) -> Counter[str]:
    """What a server's processes hold while nobody calls: ports, lines to each other, the first's files."""
    parent = psutil.Process(server.pid)
    found = Counter({"the supervisor's files": parent.num_fds()})
    for process in (parent, *workers(server)):
        for one in process.net_connections("all"):
            if one.family == socket.AF_UNIX or one.status == psutil.CONN_LISTEN:
                found[f"{one.family.name} {one.type.name} {one.status}"] += 1
    return found


def there(paths: Iterable[str]) -> list[str]:
    """Those that exist."""
    return [path for path in paths if Path(path).exists()]


@asynccontextmanager
async def talking(address: str) -> AsyncIterator[tuple[AffectStream, list[Event]]]:
    """A stream on a connection of its own whose first final has come and whose second utterance has begun."""
    async with AffectClient(address) as client, client.stream(PATIENT, reconnect=RECORDING) as stream:
        heard: list[Event] = []
        reading = asyncio.create_task(collect(stream, heard))
        await play(stream, TALK[:WITHIN_2])
        await until(lambda: len(of_type(heard, SpeechStarted)) == 2 and len(finals(heard)) == 1)
        try:
            yield stream, heard
            await asyncio.wait_for(reading, 20)
        finally:
            reading.cancel()
            await asyncio.wait([reading])


def starts_s(events: list[Event]) -> list[float]:
    """Where the finals' audio begins, on the clock of the caller's audio."""
    origin = {new.session_id: new.origin.seconds for new in of_type(events, NewSession)}
    return [origin.get(one.session_id, 0.0) + one.audio_start.seconds for one in finals(events)]


async def finish(stream: AffectStream) -> None:
    await play(stream, TALK[WITHIN_2:])
    await stream.end()


async def test_a_process_that_is_killed_costs_nobody_a_final_and_is_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log, scratch = tmp_path / "log", tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setenv("TMPDIR", str(scratch))
    with two_processes(log, SERVER__DRAIN_S="1") as (server, address):
        victim, other = workers(server)
        open_before, written = held(server), written_by(victim.pid) - {str(log)}
        async with AsyncExitStack() as stack:
            talks: list[tuple[AffectStream, list[Event]]] = []
            while not (connections(victim, "ESTABLISHED") and connections(other, "ESTABLISHED")):
                talks.append(await stack.enter_async_context(talking(address)))
                assert len(talks) < 40, "all connections lead to one process"
            sessions = [stream.session_id for stream, _ in talks]
            victim.kill()
            killed_at = time.monotonic()
            await asyncio.gather(*(finish(stream) for stream, _ in talks))
        undisturbed = starts_s(await uncut(address, TALK))
        assert len(undisturbed) >= 2
        moved = [bool(of_type(heard, NewSession)) for _, heard in talks]
        assert set(moved) == {True, False}
        for session_id, (_, heard), has_moved in zip(sessions, talks, moved, strict=True):
            assert starts_s(heard) == pytest.approx(undisturbed, abs=0.2)
            if not has_moved:
                assert not of_type(heard, LocalEvent)[1:], "who is served elsewhere notices nothing"
            closed = of_kind(await watched(address, of_session(session_id, start=EARLIEST)), "session_closed")
            said = pb.CLOSE_REASON_ABANDONED if has_moved else pb.CLOSE_REASON_END_OF_AUDIO
            assert [one.reason for one in closed] == [said], "who watches is told"
        await until(
            lambda: len(workers(server)) == 2 and bool(connections(workers(server)[-1], "LISTEN")),
            5 * RESTART_S,
        )
        print(f"another one listened within {time.monotonic() - killed_at:.1f} s")  # noqa: T201
        async with lines_to_each(address):
            pass
        assert "ended unasked, by SIGKILL" in log.read_text()
        assert not list(scratch.iterdir()), "no file is left of it"
        assert not there(written), "nor memory that it shared"
        for _ in range(50):
            if not (left := held(server) - open_before):
                break
            await asyncio.sleep(0.1)
        assert not left, "nor a socket"
        orphans = workers(server)
        server.kill()
        _, alive = await asyncio.to_thread(psutil.wait_procs, orphans, 15)
        assert not alive, "without a supervisor they drain and end"


async def test_all_drain_together_and_a_stream_that_is_passed_on_has_its_final(tmp_path: Path) -> None:
    data = sample_talk().tobytes()
    with two_processes(tmp_path / "log", SERVER__DRAIN_S="3") as (server, address):
        async with (
            lines_to_each(address) as (here, there),
            on(here, asked()) as first,
            on(there, first.next(offset=0)) as passed_on,
            on(there, asked()) as local,
        ):
            calls = [passed_on, local]
            for call in calls:
                await call.send(frames(data, 0, 16 * 1_500))
                await call.until(lambda events: events[-1].HasField("speech_started"))
            server.send_signal(signal.SIGTERM)
            codes = await asyncio.gather(*(call.to_the_end() for call in calls))
        assert await asyncio.to_thread(server.wait, 15) == 0
        assert codes == [grpc.StatusCode.UNAVAILABLE] * 2
        for call in calls:
            assert [one.reason for one in of_kind(call.events, "session_closing")] == [pb.CLOSE_REASON_DRAIN]
            assert len(raw_finals(call.events)) == 1


async def test_a_process_that_the_machine_refuses_is_tried_again_until_it_serves(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with two_processes(log) as (server, address):
        supervising = psutil.Process(server.pid)
        soft, hard = supervising.rlimit(psutil.RLIMIT_NOFILE)
        victim, other = workers(server)
        supervising.rlimit(psutil.RLIMIT_NOFILE, (3, hard))
        victim.kill()
        await until(lambda: log.read_text().count("cannot be started") >= 2, 20)
        assert workers(server) == [other]
        supervising.rlimit(psutil.RLIMIT_NOFILE, (soft, hard))
        await until(lambda: len(workers(server)) == 2, 20)
        await until(lambda: bool(connections(workers(server)[-1], "LISTEN")), 5 * RESTART_S)
        async with lines_to_each(address):
            pass
        server.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(server.wait, 15) == 0


def test_what_cannot_start_says_so_and_ends(tmp_path: Path) -> None:
    settings = tmp_path / "settings.yaml"
    settings.write_text(f"{{server: {{address: '127.0.0.1:0'}}, scoring: {{model: {tmp_path}/none}}}}")
    command = [sys.executable, "-m", "affectstream_server", "--processes", "2", "--config", str(settings)]
    own = {key: value for key, value in os.environ.items() if not key.startswith("AFFECTSTREAM_")}
    done = subprocess.run(command, env=own, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"{tmp_path}/none" in done.stderr
    assert "did not start" in done.stderr


def test_a_port_that_another_service_would_share_is_taken() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with pytest.raises(CannotListen, match=f"{address}: Address already in use"):
            Port(address, shared=False)
        Port(address, shared=True).close()
    free = Port("127.0.0.1:0", shared=False)
    assert not free.address.endswith(":0")
    free.close()


async def test_a_process_that_hangs_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped, it answers nobody and looks alive to the machine."""
    monkeypatch.setattr(supervisor, "_BEAT_S", 1.0)
    address: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    settings = load(environ={}, overrides={"server": {"address": "127.0.0.1:0", "drain_s": 0.5}})
    others = set(psutil.Process().children())  # such as a Triton that other tests share
    several = supervisor.Supervisor(settings, 2)
    serving = asyncio.create_task(several.serve(address.set_result))
    try:
        await asyncio.wait_for(address, 50)
        victim, _ = children = set(psutil.Process().children()) - others
        victim.suspend()
        await until(lambda: not victim.is_running() or victim.status() == psutil.STATUS_ZOMBIE, 30)
        await until(lambda: len(set(psutil.Process().children()) - children - others) == 1, 30)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)
        assert await asyncio.wait_for(serving, 30) == 0
    assert set(psutil.Process().children()) <= others
