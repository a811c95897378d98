"""One talk, three languages, the same events."""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from google.protobuf.json_format import MessageToDict

from affectstream.v1 import affect_pb2 as pb
from tests.clients.programs import NODE, OTHERS, PATIENT, command, run
from tests.support.speech import sample_talk
from tests.support.wire import running_server
from tests.wire.client.helpers import Done, finish

AS_FAST = ("--speed", "0", "--session-id", "talk")


def comparable(events: list[pb.SessionEvent]) -> dict[str, list[dict[str, Any]]]:
    """Each kind's events in order, every field but those that differ from run to run.

    Where `progress` comes depends on how the audio was cut into messages, and what is speculated on when it
    came.
    """
    found: dict[str, list[dict[str, Any]]] = {}
    for event in events:
        kind = event.WhichOneof("event") or ""
        fields = MessageToDict(event)
        for name in ("serverTime", "cursor", "sequence"):
            fields.pop(name, None)
        about = fields[next(name for name in fields if name not in ("sessionId", "epoch", "channel"))]
        for name in (
            *("timing", "timeOrigin", "resumeToken", "resumeWindow"),
            *("speculationsUsed", "speculationsDropped"),
        ):
            about.pop(name, None)
        if kind == "session_started":
            about["outputs"].pop("progressIntervalMs")
        if kind != "progress":
            found.setdefault(kind, []).append(fields)
    return found


def whole(done: Done) -> list[pb.SessionEvent]:
    """The events of a session that ended well, none missing."""
    assert (done.status, done.err) == (0, "")
    events = done.events
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
    return events


async def test_a_talk_has_the_same_events_in_every_language(talk: Path) -> None:
    async with running_server(PATIENT) as server:
        to = ("--server", server.address, *AS_FAST)
        expected = comparable(whole(await run("python", talk, "--no-reconnect", *to)))
        assert len(expected["affect"]) >= 10
        for language in OTHERS:
            assert comparable(whole(await run(language, *to, talk))) == expected, language


@pytest.mark.parametrize("language", OTHERS)
async def test_each_line_is_proto3_json_as_the_bridge_has_it(language: str, short: Path) -> None:
    async with running_server(PATIENT) as server:
        done = await run(language, "--server", server.address, *AS_FAST, short)
    lines = done.out.splitlines()
    assert [json.loads(line) for line in lines] == [MessageToDict(event) for event in done.events]
    started = json.loads(lines[0])
    assert started["sequence"] == "1", "64-bit integers are strings"
    assert "resumeToken" not in started["sessionStarted"], "a secret"


@pytest.mark.parametrize("subtype", ["FLOAT", "ULAW", "ALAW"])
async def test_a_recording_goes_as_it_is(subtype: str, tmp_path: Path) -> None:
    mono = sample_talk()[: 16 * 4_200] / np.float32(32_768)
    path = tmp_path / "call.wav"
    soundfile.write(path, np.stack([np.zeros_like(mono), mono], axis=1), 16_000, subtype=subtype)
    async with running_server(PATIENT) as server:
        to = ("--server", server.address, "--channel", "1", *AS_FAST)
        encoding = {"ULAW": ("--encoding", "mulaw"), "ALAW": ("--encoding", "alaw")}.get(subtype, ())
        expected = comparable(whole(await run("python", path, "--no-reconnect", *to, *encoding)))
        assert [event["channel"] for event in expected["affect"]] == [1]
        for language in OTHERS:
            assert comparable(whole(await run(language, *to, path))) == expected, language


@pytest.mark.parametrize("language", OTHERS)
async def test_raw_pcm_on_standard_input(language: str, short: Path) -> None:
    async with running_server(PATIENT) as server:
        to = ("--server", server.address, *AS_FAST)
        expected = comparable(whole(await run(language, *to, short)))
        raw = sample_talk()[: 16 * 4_200].tobytes()
        assert comparable(whole(await run(language, *to, "--rate", "16000", "-", data=raw))) == expected


@pytest.mark.parametrize("language", OTHERS)
async def test_real_time_is_kept(language: str, tmp_path: Path) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, sample_talk()[: 16 * 8_000], 16_000)
    async with running_server(PATIENT) as server:
        began_s = time.monotonic()
        whole(await run(language, "--server", server.address, "--speed", "4", path))
    # From the start of the command: it may catch up with what was due while it connected.
    assert time.monotonic() - began_s >= 1.95, "8 s of audio, four times as fast"


async def test_the_readme_of_the_node_library_runs_and_takes_audio_cut_anywhere() -> None:
    raw = sample_talk()[: 16 * 4_200].tobytes()
    command("node")
    (code,) = re.findall(r"```js\n(.*?)```", (NODE / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    async with running_server(PATIENT) as server:
        process = await asyncio.create_subprocess_exec(
            *("node", "--input-type=module", "-e", code),
            cwd=NODE,
            env=os.environ | {"SERVER": server.address},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        assert process.stdin is not None
        assert re.fullmatch(rb"affectstream \d+\.\d+\.\d+\n", await process.stdout.readline())
        process.stdin.write(raw[:1_001])
        await asyncio.sleep(0.2)
        done = await finish(process, raw[1_001:])
    assert (done.status, done.err) == (0, "")
    assert re.fullmatch(r"0\.544s \w+ 0\.\d+\n", done.out)
