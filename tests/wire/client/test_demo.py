"""`affectstream demo` and `serve`, with the server that they start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
from pathlib import Path

import matplotlib.image
import numpy as np
import psutil
import pytest
import soundfile

from affectstream import AffectClient, errors
from tests.support.speech import sample_talk
from tests.wire.client.helpers import finish, run_cli, start_cli


def children() -> set[int]:
    return {child.pid for child in psutil.Process().children(recursive=True)}


async def test_the_bundled_talk_from_start_to_picture(tmp_path: Path) -> None:
    before = children()
    done = await run_cli("demo", "--speed", "0", "--out", tmp_path / "out")
    assert (done.status, done.err) == (0, "")
    assert re.search(r"^ 10  0:\d\d\.\d\d-0:\d\d\.\d\d ", done.out, re.MULTILINE), "events as they come"
    assert re.search(r"^1\d utterances in 0:38\.5 of audio$", done.out, re.MULTILINE)
    for part in ("statuses", "emotions", "arousal", "is a demonstrator"):
        assert part in done.out
    picture = tmp_path / "out" / "timeline.png"
    assert f"picture: {picture}" in done.out
    assert matplotlib.image.imread(picture).shape[1] > 1800
    assert children() == before, "the server is stopped"


async def test_a_recording_of_ones_own(tmp_path: Path) -> None:
    mono = sample_talk()[: 16 * 4_200].astype(np.float32) / 32_768
    soundfile.write(tmp_path / "mine.ogg", np.stack([mono, mono], axis=1), 16_000, format="OGG")
    done = await run_cli("demo", "--audio", tmp_path / "mine.ogg", "--speed", "8", "--out", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "mine.ogg has 2 channels; channel 0 is analysed" in done.out
    assert "1 utterance in 0:04.2 of audio" in done.out
    assert re.search(r"lag +median \d+ ms", done.out)
    assert (tmp_path / "timeline.png").is_file()


async def test_a_recording_without_speech_still_ends_well(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "quiet.wav", np.zeros(16_000, np.int16), 16_000)
    done = await run_cli("demo", "--audio", tmp_path / "quiet.wav", "--speed", "0", "--out", tmp_path)
    assert (done.status, done.err) == (0, "")
    assert "0 utterances in 0:01.0 of audio" in done.out


async def test_a_missing_recording_starts_nothing(tmp_path: Path) -> None:
    done = await run_cli("demo", "--audio", tmp_path / "none.wav", "--out", tmp_path / "out")
    assert done.status == 2
    assert "cannot read" in done.err
    assert not (tmp_path / "out").exists()


async def test_a_server_that_does_not_start_is_explained(tmp_path: Path) -> None:
    os.environ["AFFECTSTREAM_NO_SUCH_SETTING"] = "1"
    try:
        done = await run_cli("demo", "--out", tmp_path)
    finally:
        del os.environ["AFFECTSTREAM_NO_SUCH_SETTING"]
    assert done.status == 1
    assert done.err.startswith("affectstream demo: the server ended with status ")
    assert str(tmp_path / "server.log") in done.err
    assert done.err.count("\n") == 1


async def test_serve_says_when_it_is_ready_and_drains_on_sigterm() -> None:
    process = await start_cli("serve", "--address", "127.0.0.1:0")
    assert process.stdout is not None
    line = (await asyncio.wait_for(process.stdout.readline(), 30)).decode()
    ready = re.fullmatch(r"affectstream: ready on (127\.0\.0\.1:\d+)\n", line)
    assert ready is not None
    async with AffectClient(ready.group(1)) as client:
        assert (await client.server_info()).models
    process.send_signal(signal.SIGTERM)
    assert (await finish(process)).status == 0


async def test_a_server_that_freezes_is_noticed() -> None:
    """Keepalive: the peer neither answers nor closes. The client's own limits are 10 and 5 s."""
    process = await start_cli("serve", "--address", "127.0.0.1:0")
    assert process.stdout is not None
    address = (await asyncio.wait_for(process.stdout.readline(), 30)).decode().split()[-1]
    quick = (("grpc.keepalive_time_ms", 1_000), ("grpc.http2.ping_timeout_ms", 1_000))
    try:
        async with AffectClient(address, options=quick) as client, client.stream() as stream:
            os.kill(process.pid, signal.SIGSTOP)
            with pytest.raises(errors.ServerUnavailable, match="connection to the server was lost"):
                async with asyncio.timeout(10):
                    await anext(stream)
                    await anext(stream)
    finally:
        os.kill(process.pid, signal.SIGCONT)
        process.send_signal(signal.SIGTERM)
        await finish(process)
