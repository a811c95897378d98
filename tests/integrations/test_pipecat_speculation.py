"""Speculative generation: an end of turn that is predicted is answered early, with the guidance, and once."""

from __future__ import annotations

from pipecat.frames.frames import LLMRunFrame
from pipecat.turns.user_turn_strategies import EagerUserTurnStrategies

from affectstream.integrations.pipecat import AffectProcessor
from tests.integrations.pipecat_agent import EagerTranscriber, agent, notes
from tests.integrations.servers import EVEN, GUIDED, UPSET, turn
from tests.support.wire import running_server


async def test_a_confirmed_speculation_had_the_guidance_and_is_not_generated_again() -> None:
    async with (
        running_server(GUIDED) as server,
        agent(
            AffectProcessor(server.address), stt=EagerTranscriber(), strategies=EagerUserTurnStrategies()
        ) as running,
    ):
        await running.worker.queue_frame(LLMRunFrame())
        await running.until_history_has("assistant", "reply 1")
        for number, (bounds, mood) in enumerate(((UPSET, "upset"), (EVEN, "even")), start=2):
            await running.caller.say(turn(bounds))
            (only,) = notes(await running.llm.wait_asked(number))
            assert mood in only
            await running.until_history_has("assistant", f"reply {number}")
            history = [dict(message) for message in running.context.messages]  # type: ignore[arg-type]
            assert notes(history) == [only], "a tool's follow-up sees it too"
            assert history.index({"role": "developer", "content": only}) == len(history) - 3
        assert len(running.llm.asked) == 3
        assert running.watch.speculative == [False, True, True]


async def test_a_withdrawn_speculation_is_answered_anew_with_the_same_guidance() -> None:
    async with (
        running_server(GUIDED) as server,
        agent(
            AffectProcessor(server.address),
            stt=EagerTranscriber(withdraws=1),
            strategies=EagerUserTurnStrategies(),
        ) as running,
    ):
        await running.caller.say(turn(UPSET))
        early, late = notes(await running.llm.wait_asked(1)), notes(await running.llm.wait_asked(2))
        assert early == late
        assert len(late) == 1
        await running.until_history_has("assistant", "reply 2")
        assert running.watch.speculative == [True, False]
