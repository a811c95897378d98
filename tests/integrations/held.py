"""How long replies are held for the guidance, in real time: python -m tests.integrations.held"""

from __future__ import annotations

import asyncio
import warnings

from tests.support.speech import sample_talk
from tests.support.wire import running_server

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    from affectstream.integrations.livekit import AffectAgent
    from affectstream.integrations.pipecat import AffectProcessor
    from tests.integrations import livekit_agent, pipecat_agent


def told(name: str, held_s: list[float], guided: int) -> None:
    held_ms = sorted(1_000 * value for value in held_s)
    middle, most = held_ms[len(held_ms) // 2], held_ms[-1]
    held = f"held {middle:.1f} ms (median), {most:.1f} ms (most)"
    print(f"{name}: {len(held_ms)} replies, {held}, {guided} guided")  # noqa: T201 - a tool


async def main() -> None:
    async with running_server() as server:
        async with pipecat_agent.agent(AffectProcessor(server.address), wait_ms=150) as running:
            await running.caller.say(sample_talk(), speed=1.0)
            await asyncio.sleep(1)
            held = [left - came for came, left in zip(running.watch.came, running.watch.left, strict=True)]
            told("pipecat", held, sum(bool(pipecat_agent.notes(asked)) for asked in running.llm.asked))
        listener = livekit_agent.Timed(server.address)
        async with livekit_agent.conversation(
            AffectAgent(affect=listener, instructions="Answer.")
        ) as session:
            await session.caller.say(sample_talk(), speed=1.0)
            await asyncio.sleep(1)
            told(
                "livekit",
                listener.held_s,
                sum(bool(livekit_agent.notes(asked)) for asked in session.llm.asked),
            )


if __name__ == "__main__":
    asyncio.run(main())
