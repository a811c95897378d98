"""A chat loop whose model is told how each turn was said: one message, replaced turn by turn.
MODEL speaks OpenAI's chat completions. Words come from your speech-to-text, here from the talk's script.
python examples/chat_loop.py 127.0.0.1:50551 MODEL_HOST:PORT
"""

import asyncio
import http.client
import json
import sys
from collections.abc import Iterator
from importlib.resources import files

import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream
from affectstream.tone import guidance, is_note, note

TALK = files("affectstream") / "samples"


def script() -> Iterator[tuple[float, float, str]]:
    for row in (TALK / "talk.tsv").read_text().splitlines()[1:]:
        start, end, words = row.split("\t")
        yield float(start), float(end), words


async def send(stream: AffectStream) -> None:
    for block in soundfile.blocks(str(TALK / "talk.flac"), blocksize=1_600, dtype="int16"):
        await stream.send(block)
    await stream.end()


def complete(model: str, messages: list[dict[str, str]]) -> dict[str, str]:
    connection = http.client.HTTPConnection(model, timeout=30)
    body = json.dumps({"model": "any", "messages": messages})
    connection.request("POST", "/v1/chat/completions", body, {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        answer = json.load(response)["choices"][0]["message"]["content"]
    return {"role": "assistant", "content": answer}


async def main(server: str, model: str) -> None:
    messages = [{"role": "system", "content": "You answer calls about parcels."}]
    async with AffectClient(server) as client, client.stream() as stream, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(stream))
        async for event in stream:
            if not isinstance(event, AffectEvent) or not event.is_final:
                continue
            start, end = event.audio_start.seconds, event.audio_end.seconds
            words = " ".join(text for a, b, text in script() if min(b, end) - max(a, start) > (b - a) / 2)
            messages = [message for message in messages if not is_note(message["content"])]
            if (advice := guidance(event)) is not None:
                messages.append({"role": "system", "content": note(advice)})
            messages.append({"role": "user", "content": words})
            messages.append(await asyncio.to_thread(complete, model, messages))
            print(messages[-1]["content"], flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
