"""The LiveKit adapter in a whole session, against a real server, with pre-emptive generation on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from livekit import rtc
from livekit.agents import llm

from affectstream import AffectEvent, Event
from affectstream.integrations.livekit import AffectAgent, AffectListener
from tests.integrations.livekit_agent import WAIT_S, Conversation, Timed, conversation, notes
from tests.integrations.servers import EVEN, GUIDED, UNSURE, UPSET, Process, server_process, turn
from tests.support.wire import running_server

NOBODY = "127.0.0.1:1"
PATIENT_MS = 1_000


def agent(address: str, listener: AffectListener | None = None) -> AffectAgent:
    listener = listener or AffectListener(address, wait_ms=PATIENT_MS)
    return AffectAgent(affect=listener, instructions="You answer calls.")


@pytest.fixture
def used(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    """What LiveKit says of its pre-emptive replies."""
    caplog.set_level(logging.DEBUG, "livekit.agents")
    return lambda: [text for text in caplog.messages if "preemptive" in text]


async def test_preemptive_replies_have_their_turns_guidance_and_are_the_ones_that_are_used(
    used: Callable[[], list[str]],
) -> None:
    async with running_server(GUIDED) as server, conversation(agent(server.address)) as running:
        for number, bounds in enumerate((UPSET, EVEN, UNSURE), start=1):
            await running.caller.say(turn(bounds))
            await running.replies(number)
        assert await running.replies(3) == ["reply 1", "reply 2", "reply 3"], "each was asked for once"
        assert used() == ["using preemptive generation"] * 3
        upset, even, unsure = running.llm.asked
        assert [role for role, _ in upset] == ["system", "system", "user"]
        assert "upset" in upset[1][1]
        assert [role for role, _ in even] == ["system", "user", "assistant", "system", "user"]
        assert "even" in even[3][1]
        assert notes(unsure) == []
        history = [(item.role, item.raw_text_content or "") for item in running.session.history.messages()]
        assert notes(history) == [], "the history is as without the adapter"


async def test_withdrawn_consent_leaves_replies_without_guidance_and_the_server_without_values() -> None:
    told: list[Event] = []

    async def tell(event: Event) -> None:
        told.append(event)

    async with running_server(GUIDED) as server:
        listener = AffectListener(server.address, wait_ms=PATIENT_MS, on_event=tell)
        async with conversation(agent(server.address, listener)) as running:
            await running.caller.say(turn(UPSET))
            await running.replies(1)
            listener.withdraw_consent()
            await running.caller.say(turn(UPSET))
            await running.replies(2)
            assert [bool(notes(asked)) for asked in running.llm.asked] == [True, False]
    finals = [event for event in told if isinstance(event, AffectEvent) and event.is_final]
    assert [bool(event.emotions) for event in finals] == [True, *[False] * (len(finals) - 1)]
    assert len(finals) > 1


async def test_a_server_that_dies_or_is_not_there_costs_no_reply(used: Callable[[], list[str]]) -> None:
    async with server_process() as process, conversation(agent(process.address)) as running:
        await running.caller.say(turn(UPSET))
        await running.replies(1)
        await process.kill()
        await running.caller.say(turn(UPSET))
        assert await running.replies(2) == ["reply 1", "reply 2"]
        assert [len(notes(asked)) for asked in running.llm.asked] == [1, 0]
        assert used() == ["using preemptive generation"] * 2


async def test_a_frozen_server_costs_no_more_than_the_wait(used: Callable[[], list[str]]) -> None:
    async with server_process() as process:
        listener = Timed(process.address)
        async with conversation(agent(process.address, listener)) as running:
            await frozen_turn(process, running, listener)
    assert set(used()) == {"using preemptive generation"}


async def frozen_turn(process: Process, running: Conversation, listener: Timed) -> None:
    await running.caller.say(turn(UPSET)[: 16 * 2_000])
    process.freeze()
    await running.caller.say(turn(UPSET)[16 * 2_000 :])
    assert await running.replies(1) == ["reply 1"]
    assert len(running.llm.asked) == 1
    assert notes(running.llm.asked[0]) == []
    (held_s,) = listener.held_s
    assert 0.9 * WAIT_S < held_s < 5 * WAIT_S
    process.thaw()
    for number in (2, 3, 4):
        await running.caller.say(turn(EVEN))
        await running.replies(number)
        if told := notes(running.llm.asked[-1]):
            break
    assert "even" in "".join(told)


async def frames(bounds: tuple[float, float]) -> AsyncIterator[rtc.AudioFrame]:
    samples = turn(bounds)
    for place in range(0, len(samples), 480):
        part = samples[place : place + 480]
        yield rtc.AudioFrame(part.tobytes(), 16_000, 1, len(part))
        await asyncio.sleep(0.005)


async def test_an_agent_with_nodes_of_its_own_tees_and_guides_by_itself() -> None:
    context = llm.ChatContext.empty()
    context.add_message(role="user", content="Where is it?")
    async with running_server(GUIDED) as server:
        listener = AffectListener(server.address, wait_ms=PATIENT_MS)
        assert (await listener.guided(context)).items == context.items, "nothing was heard yet"
        heard = 0
        async for frame in listener.tee(frames(UPSET)):
            heard += frame.samples_per_channel
            if heard > 16 * 3_900:
                break
        assert heard > 16 * 3_900
        again = [await listener.guided(context) for _ in range(2)]
        assert [[item.role for item in guided.messages()] for guided in again] == [["system", "user"]] * 2
        assert len(context.items) == 1


async def test_without_a_server_frames_and_replies_go_on() -> None:
    context = llm.ChatContext.empty()
    listener = Timed(NOBODY)
    heard = 0
    async for frame in listener.tee(frames(UPSET)):
        heard += frame.samples_per_channel
        if heard > 16 * 3_000:
            break
    assert (await listener.guided(context)).items == []
    assert listener.held_s[0] < WAIT_S


async def test_a_reply_that_is_given_up_while_it_waits_leaves_everything_whole() -> None:
    context = llm.ChatContext.empty()
    finals: list[Event] = []

    async def on_event(event: Event) -> None:
        if isinstance(event, AffectEvent):
            finals.append(event)

    async with running_server(GUIDED) as server:
        listener = AffectListener(server.address, wait_ms=PATIENT_MS, on_event=on_event)
        audio = listener.tee(frames(UPSET))
        while listener.hearing is None or not listener.hearing.is_unanswered:
            await anext(audio)
        waiting = asyncio.create_task(listener.guided(context))
        await asyncio.sleep(0.05)
        assert not waiting.done(), "the utterance is under way"
        waiting.cancel()
        await asyncio.wait([waiting])
        assert waiting.cancelled()
        while not finals:
            await anext(audio)
        (only,) = (await listener.guided(context)).messages()
        assert "upset" in (only.raw_text_content or "")
        await audio.aclose()


def test_a_wait_beyond_its_limits_is_refused() -> None:
    with pytest.raises(ValueError, match=r"wait_ms is 1001, the limit is 0\.\.1000"):
        AffectListener(NOBODY, wait_ms=1_001)
