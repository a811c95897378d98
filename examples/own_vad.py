"""Bound the utterances oneself: your detector's word is exact, and the server adds no waiting of its own.

A gate on the level stands in for your detector. Positions are samples, so a start may be told late.

python examples/own_vad.py 127.0.0.1:50551 [RECORDING] [SPEED]
"""

import asyncio
import sys
from importlib.resources import files
from typing import Any

import numpy as np
import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream, AudioFormat, Endpointing, StreamConfig
from affectstream.enums import EndpointingMode

BUNDLED = str(files("affectstream") / "samples" / "talk.flac")
FRAME_S, LOUD_DBFS, SILENCE_S = 0.02, -40.0, 0.4


async def send(stream: AffectStream, samples: Any, rate_hz: int, speed: float) -> None:
    loop, frame = asyncio.get_running_loop(), round(FRAME_S * rate_hz)
    start_s, heard_until, speaking = loop.time(), 0, False
    for place in range(0, len(samples), frame):
        await asyncio.sleep(start_s + place / rate_hz / speed - loop.time())
        block = samples[place : place + frame]
        await stream.send(block)
        level = 20 * np.log10(np.sqrt(np.mean((block / 32_768) ** 2)) + 1e-9)
        if level > LOUD_DBFS:
            heard_until = stream.position_samples
            if not speaking:
                speaking = True
                await stream.speech_started(position_samples=place)
        elif speaking and stream.position_samples - heard_until > SILENCE_S * rate_hz:
            speaking = False
            await stream.speech_ended(position_samples=heard_until)
    await stream.end()


async def main(server: str, path: str = BUNDLED, speed: str = "1") -> None:
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    config = StreamConfig(
        audio=AudioFormat(sample_rate_hz=rate_hz),
        endpointing=Endpointing(mode=EndpointingMode.CALLER),
    )
    async with AffectClient(server) as client, client.stream(config) as stream, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(stream, samples[:, 0], rate_hz, float(speed)))
        async for event in stream:
            if isinstance(event, AffectEvent) and event.is_final:
                bounds = f"{event.audio_start.seconds:.2f}-{event.audio_end.seconds:.2f} s"
                print(bounds, event.top_label or event.status_detail, flush=True)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
