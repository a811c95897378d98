"""The examples as their readers run them, against a real server."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from affectstream.tone import is_note
from tests.support.bridge import running_bridge
from tests.support.chat import chat_server
from tests.support.speech import SAMPLE_TALK, sample_talk
from tests.support.wire import finals, running_server, seconds, stream_talk

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
SPEED = "8"


@pytest.fixture
async def address() -> AsyncIterator[str]:
    # The default is too careful for the talk's synthetic voices.
    async with running_server({"guidance": {"policy": "sensitive"}}) as server:
        yield server.address


async def run(name: str, *arguments: str | Path) -> list[str]:
    """The lines that an example prints; fails if it does, or says anything else."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-W", "error", str(EXAMPLES / name), *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(40):
            out, err = await process.communicate()
    except TimeoutError:
        process.kill()
        await process.communicate()
        raise
    assert (process.returncode, err.decode()) == (0, "")
    return out.decode().splitlines()


def overlap_s(line: str, start_s: float, end_s: float) -> float:
    found = re.search(r"([\d.]+)- *([\d.]+) s", line)
    assert found is not None, line
    return min(float(found[2]), end_s) - max(float(found[1]), start_s)


def truth() -> list[tuple[float, float]]:
    """Bounds of the bundled talk's ten utterances, in seconds."""
    rows = SAMPLE_TALK.with_suffix(".tsv").read_text().splitlines()[1:]
    return [(float(row.split("\t")[0]), float(row.split("\t")[1])) for row in rows]


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_an_example_is_short_and_is_run_here(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 60
    assert f'run("{path.name}"' in Path(__file__).read_text()


async def test_file_to_jsonl_gives_what_a_raw_call_hears(address: str) -> None:
    rows = [json.loads(line) for line in await run("file_to_jsonl.py", address)]
    raw = finals(await stream_talk(address, sample_talk()))
    assert [(row["start_s"], row["end_s"]) for row in rows] == [
        (seconds(final.audio_start), seconds(final.audio_end)) for final in raw
    ]
    assert all(sum(row["emotions"].values()) == pytest.approx(1, abs=1e-3) for row in rows)
    assert all(0 <= row["arousal"] <= 1 and row["valence"] is None for row in rows)


async def test_file_to_jsonl_takes_ones_own_stereo_recording(address: str, tmp_path: Path) -> None:
    talk = sample_talk()[: 16 * 4_200]
    soundfile.write(tmp_path / "mine.wav", np.stack([np.zeros_like(talk), talk], axis=1), 16_000)
    rows = [json.loads(line) for line in await run("file_to_jsonl.py", address, tmp_path / "mine.wav")]
    assert [row["channel"] for row in rows] == [1]


async def test_own_vad_bounds_the_utterances(address: str) -> None:
    lines = await run("own_vad.py", address, SAMPLE_TALK, SPEED)
    assert len(lines) == 10
    for line, (start_s, end_s) in zip(lines, truth(), strict=True):
        assert overlap_s(line, start_s, end_s) > 0.8 * (end_s - start_s)


async def test_two_channels_tell_customer_and_agent_apart(address: str) -> None:
    lines = await run("two_channels.py", address)
    for number, (start_s, end_s) in enumerate(truth()):
        speaker = ("customer", "agent")[number % 2]
        there = [line.split()[0] for line in lines if overlap_s(line, start_s, end_s) > 0.5]
        assert there
        assert set(there) == {speaker}


async def test_telephony_hears_the_caller(address: str) -> None:
    async with running_bridge(address) as bridge:
        lines = await run("telephony.py", bridge.address, SAMPLE_TALK, "16")
    for start_s, end_s in truth():
        assert sum(max(0.0, overlap_s(line, start_s, end_s)) for line in lines) > 0.5 * (end_s - start_s)
    assert {line.split()[0] for line in lines} == {"inbound"}


async def test_voice_agent_says_each_turn(address: str) -> None:
    lines = await run("voice_agent.py", address, SAMPLE_TALK, SPEED)
    assert [line.split(":")[0] for line in lines] == [f"turn-{i}" for i in range(1, len(lines) + 1)]
    counts = [int(count) for count in re.findall(r"(\d+) utterances", "\n".join(lines))]
    assert 10 <= sum(counts) <= 12
    assert len(lines) >= 8


async def test_asyncio_loop_replies_to_every_utterance(address: str) -> None:
    lines = await run("asyncio_loop.py", address, SAMPLE_TALK, "16")
    assert 10 <= len(lines) <= 12
    upset = next(line for line in lines if 13.6 < float(line.split()[2]) < 14.0)
    assert "upset" in upset
    assert "no guidance" in lines[0]


async def test_chat_loop_tells_the_model_the_tone_of_this_turn_only(address: str) -> None:
    with chat_server(lambda asked: {"content": f"reply {len(asked['messages'])}"}) as (model, asked):
        lines = await run("chat_loop.py", address, model)
    assert len(lines) == len(asked) >= 10
    notes = [[m["content"] for m in request["messages"] if is_note(m["content"])] for request in asked]
    assert max(map(len, notes)) == 1
    (upset,) = (
        n
        for request, n in zip(asked, notes, strict=True)
        if "nine days" in request["messages"][-1]["content"]
    )
    assert "upset" in upset[0]
    assert all(request["messages"][-1]["role"] == "user" for request in asked)
    assert notes[0] == []


async def test_affect_tool_answers_the_models_call(address: str) -> None:
    call = {"id": "call-1", "type": "function", "function": {"name": "get_caller_affect", "arguments": "{}"}}

    def answer(request: dict[str, Any]) -> dict[str, Any]:
        last = request["messages"][-1]
        if last["role"] != "tool":
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        return {"role": "assistant", "content": json.loads(last["content"])["advice"]}

    with chat_server(answer) as (model, asked):
        (line,) = await run("affect_tool.py", address, model)
    assert line.startswith("The speaker")
    assert asked[0]["tools"][0]["function"]["name"] == "get_caller_affect"
    assert [message["role"] for message in asked[1]["messages"]] == ["user", "assistant", "tool"]
    assert asked[1]["messages"][2]["tool_call_id"] == "call-1"
