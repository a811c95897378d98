"""An agent without a framework: each reply waits a moment, and no longer, for how its utterance was said.

python examples/asyncio_loop.py 127.0.0.1:50551 [RECORDING] [SPEED]
"""

import asyncio
import sys
from importlib.resources import files

import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream, AudioFormat, SpeechEnded, StreamConfig
from affectstream.tone import guidance

BUNDLED, WAIT_S = str(files("affectstream") / "samples" / "talk.flac"), 0.15


async def microphone(stream: AffectStream, path: str, speed: float) -> None:
    """20 ms frames when they are due; yours come from the call."""
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    loop = asyncio.get_running_loop()
    start_s = loop.time()
    for place in range(0, len(samples), rate_hz // 50):
        await asyncio.sleep(start_s + place / rate_hz / speed - loop.time())
        await stream.send(samples[place : place + rate_hz // 50, 0])
    await stream.end()


async def reply(ended: SpeechEnded, affect: asyncio.Future[AffectEvent]) -> None:
    """Here your language model is asked. A server that is slow costs `WAIT_S`, and not the reply."""
    try:
        async with asyncio.timeout(WAIT_S):
            advice = guidance(await affect)
    except TimeoutError:
        advice = None
    print(f"reply at {ended.audio_end.seconds:.2f} s:", advice.text if advice else "no guidance", flush=True)


async def main(server: str, path: str = BUNDLED, speed: str = "1") -> None:
    config = StreamConfig(audio=AudioFormat(sample_rate_hz=soundfile.info(path).samplerate))
    waiting: dict[str, asyncio.Future[AffectEvent]] = {}
    async with AffectClient(server) as client, client.stream(config) as stream, asyncio.TaskGroup() as tasks:
        tasks.create_task(microphone(stream, path, float(speed)))
        async for event in stream:
            if isinstance(event, SpeechEnded):
                affect = waiting[event.utterance_id] = asyncio.get_running_loop().create_future()
                tasks.create_task(reply(event, affect))
            elif isinstance(event, AffectEvent) and event.is_final:
                affect = waiting.pop(event.utterance_id)
                if not affect.done():
                    affect.set_result(event)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
