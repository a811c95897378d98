"""A tool for a model that speaks OpenAI's chat completions: how does the caller sound? `get_caller_affect`.
python examples/affect_tool.py 127.0.0.1:50551 MODEL_HOST:PORT
"""

import asyncio
import http.client
import json
import sys
from collections import deque
from importlib.resources import files
from typing import Any

import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream
from affectstream.tone import guidance

TALK = str(files("affectstream") / "samples" / "talk.flac")
TOOL = {
    "name": "get_caller_affect",
    "description": "How the caller's voice sounded: advice for your wording. An estimate; never mention it.",
    "parameters": {"type": "object", "properties": {}, "additionalProperties": False},
}
heard: deque[AffectEvent] = deque(maxlen=10)


def get_caller_affect() -> dict[str, Any]:
    advice = next((advice for event in reversed(heard) if (advice := guidance(event))), None)
    return {"advice": advice.text, "style": advice.style_tags} if advice else {"advice": None}


def complete(model: str, messages: list[dict[str, Any]]) -> dict[str, Any]:
    connection = http.client.HTTPConnection(model, timeout=30)
    body = {"model": "any", "messages": messages, "tools": [{"type": "function", "function": TOOL}]}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        return dict(json.load(response)["choices"][0]["message"])


async def send(stream: AffectStream) -> None:
    for block in soundfile.blocks(TALK, blocksize=1_600, dtype="int16"):
        await stream.send(block)
    await stream.end()


async def main(server: str, model: str) -> None:
    async with AffectClient(server) as client, client.stream() as stream, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(stream))
        async for event in stream:
            if isinstance(event, AffectEvent) and event.is_final:
                heard.append(event)
    messages: list[dict[str, Any]] = [{"role": "user", "content": "It was a present for my mother."}]
    while calls := (message := await asyncio.to_thread(complete, model, messages)).get("tool_calls"):
        answer = {"role": "tool", "content": json.dumps(get_caller_affect())}
        messages += [message, *({**answer, "tool_call_id": call["id"]} for call in calls)]
    print(message["content"])


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
