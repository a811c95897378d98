"""The Pipecat adapter in a whole agent, against a real server."""

from __future__ import annotations

import asyncio
import logging

import pytest
from pipecat.frames.frames import InputAudioRawFrame

from affectstream import AffectClient, AffectStatus, Endpointing, EndpointingMode, StreamConfig
from affectstream.integrations.pipecat import AffectProcessor
from affectstream.tone import load
from tests.integrations.pipecat_agent import agent, notes
from tests.integrations.servers import EVEN, GUIDED, POLICY, UNSURE, UPSET, server_process, turn
from tests.support.wire import running_server

WAIT_S = 0.15
NOBODY = "127.0.0.1:1"


async def test_guidance_stands_before_the_users_words_when_the_llm_is_asked() -> None:
    async with running_server(GUIDED) as server, agent(AffectProcessor(server.address)) as running:
        await running.caller.say(turn(UPSET))
        asked = await running.llm.wait_asked(1)
        assert [message["role"] for message in asked] == ["system", "developer", "user"]
        assert "upset" in asked[1]["content"]
        assert [frame.event.top_label for frame in running.watch.heard] == ["angry"]
        assert "angry" not in f"{running.watch.heard[0]} {running.watch.heard[0]!r}", "what is logged"


async def test_where_the_server_says_nothing_a_policy_of_ones_own_does() -> None:
    async with (
        running_server({"guidance": {"policy": "off"}}) as server,
        agent(AffectProcessor(server.address, policy=load(POLICY))) as running,
    ):
        await running.caller.say(turn(UPSET))
        (only,) = notes(await running.llm.wait_asked(1))
        assert "upset" in only
        (frame,) = running.watch.heard
        assert frame.event.guidance is not None
        assert not frame.event.proto.affect.HasField("guidance"), "the server's event is left alone"


async def test_a_policy_of_ones_own_goes_before_the_servers() -> None:
    async with (
        running_server() as server,
        agent(AffectProcessor(server.address, policy=load(POLICY))) as running,
    ):
        await running.caller.say(turn(UPSET))
        (only,) = notes(await running.llm.wait_asked(1))
        assert "upset" in only, "the server's own policy is more careful and says nothing"


async def test_a_later_turn_replaces_the_guidance_and_an_unsure_one_removes_it() -> None:
    async with running_server(GUIDED) as server, agent(AffectProcessor(server.address)) as running:
        await running.caller.say(turn(UPSET))
        await running.llm.wait_asked(1)
        await running.caller.say(turn(EVEN))
        asked = await running.llm.wait_asked(2)
        assert [message["role"] for message in asked] == ["system", "user", "assistant", "developer", "user"]
        (only,) = notes(asked)
        assert "even" in only
        await running.caller.say(turn(UNSURE))
        assert notes(await running.llm.wait_asked(3)) == []


async def test_withdrawn_consent_takes_the_note_away_and_nothing_is_told_again() -> None:
    async with running_server(GUIDED) as server:
        processor = AffectProcessor(server.address)
        async with agent(processor) as running:
            await running.caller.say(turn(UPSET))
            assert notes(await running.llm.wait_asked(1))
            processor.withdraw_consent()
            await running.caller.say(turn(UPSET))
            assert notes(await running.llm.wait_asked(2)) == []
            first, *later = running.watch.heard
            assert first.event.emotions
            assert later, "the server's word of it"
            assert {frame.event.status for frame in later} == {AffectStatus.CONSENT_WITHHELD}
            assert not any(frame.event.emotions or frame.event.guidance for frame in later)


async def test_the_servers_detection_serves_a_pipeline_whose_config_asks_for_it() -> None:
    config = StreamConfig(endpointing=Endpointing(mode=EndpointingMode.SERVER))
    async with (
        running_server(GUIDED) as server,
        AffectClient(server.address) as client,
        agent(AffectProcessor(client, config=config)) as running,
    ):
        await running.caller.say(turn(UPSET))
        (only,) = notes(await running.llm.wait_asked(1))
        assert "upset" in only


async def test_audio_of_another_format_passes_and_is_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    async with agent(AffectProcessor(NOBODY)) as running:
        await running.caller.say(turn((0.0, 0.2)))
        for _ in range(3):
            await running.caller.push_audio_frame(InputAudioRawFrame(bytes(960), 24_000, 1))
        await running.caller.say(turn(UPSET))
        await running.llm.wait_asked(1)
    (told,) = [record for record in caplog.records if "is not heard" in record.getMessage()]
    assert "24000" in told.getMessage()


async def test_without_a_server_every_reply_comes_at_once() -> None:
    async with agent(AffectProcessor(NOBODY)) as running:
        await running.caller.say(turn(UPSET))
        assert notes(await running.llm.wait_asked(1)) == []
        assert await running.waited_s(1) < WAIT_S


async def test_a_server_that_refuses_is_told_of_once_and_costs_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with (
        running_server({"consent": {"required": True}}) as server,
        agent(AffectProcessor(server.address)) as running,
    ):
        await running.caller.say(turn(UPSET))
        assert notes(await running.llm.wait_asked(1)) == []
    (told,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "consent" in told.getMessage()


async def test_a_server_that_died_is_found_again() -> None:
    async with server_process() as first:
        affect = AffectProcessor(first.address)
        async with agent(affect) as running:
            await running.caller.say(turn(UPSET))
            assert len(notes(await running.llm.wait_asked(1))) == 1
            await first.kill()
            await running.caller.say(turn(EVEN))
            assert notes(await running.llm.wait_asked(2)) == []
            async with server_process(first.address):
                async with asyncio.timeout(30):
                    while affect.hearing is None or not affect.hearing.connected:
                        await running.caller.say(turn((0.0, 0.1)))
                await running.caller.say(turn(EVEN))
                (only,) = notes(await running.llm.wait_asked(3))
                assert "even" in only


async def test_a_frozen_server_costs_a_turn_the_wait_and_the_audio_nothing() -> None:
    async with (
        server_process() as process,
        agent(AffectProcessor(process.address), wait_ms=round(1_000 * WAIT_S)) as running,
    ):
        await running.caller.say(turn((0.0, 0.2)))
        process.freeze()
        for number in (1, 2):
            await running.caller.say(turn(UPSET))
            assert notes(await running.llm.wait_asked(number)) == []
            assert 0.9 * WAIT_S < await running.waited_s(number) < 5 * WAIT_S
        process.thaw()
        for number in (3, 4, 5):
            await running.caller.say(turn(EVEN))
            if told := notes(await running.llm.wait_asked(number)):
                break
        assert "even" in "".join(told)


async def test_an_interruption_ends_the_wait_and_leaves_the_context_whole() -> None:
    async with server_process() as process, agent(AffectProcessor(process.address)) as running:
        await running.caller.say(turn((0.0, 0.2)))
        process.freeze()
        await running.caller.say(turn(UPSET))
        async with asyncio.timeout(30):
            while not running.watch.came:
                await asyncio.sleep(0.01)
        await running.caller.say(turn(EVEN), speed=8.0)
        process.thaw()
        asked = await running.llm.wait_asked(1)
        assert [m["content"] for m in asked if m["role"] == "user"] == ["words 1", "words 2"]
        assert len(running.watch.left) == len(running.llm.asked) == 1, "the first context was given up"
        assert len(notes(asked)) <= 1
