"""The affect side of a voice agent: each turn of the user becomes one TurnAffect, for what writes the reply.
Here half a second of silence ends a turn and the next begins at once; your dialogue manager knows better.
python examples/voice_agent.py 127.0.0.1:50551 [RECORDING] [SPEED]
"""

import asyncio
import math
import sys
import time
from importlib.resources import files
from typing import Any

import soundfile

from affectstream import AffectClient, AffectStream, AudioFormat, StreamConfig
from affectstream.enums import name_of
from affectstream.events import SpeechEnded, SpeechStarted, TurnAffect

BUNDLED, TURN_OVER_S = str(files("affectstream") / "samples" / "talk.flac"), 0.5


class Agent:
    def __init__(self, stream: AffectStream) -> None:
        self.stream = stream
        self.quiet_since_s = math.inf

    async def hear(self, samples: Any, rate_hz: int, speed: float) -> None:
        """The microphone: 20 ms frames when they are due, turn after turn."""
        frame, start_s, place, turn = rate_hz // 50, time.monotonic(), 0, 0
        while place < len(samples):
            turn, self.quiet_since_s = turn + 1, math.inf
            async with self.stream.turn(f"turn-{turn}"):
                while place < len(samples) and place / rate_hz < self.quiet_since_s + TURN_OVER_S:
                    await asyncio.sleep(start_s + place / rate_hz / speed - time.monotonic())
                    await self.stream.send(samples[place : place + frame])
                    place += frame
        await self.stream.end()

    async def listen(self) -> None:
        async for event in self.stream:
            if isinstance(event, SpeechStarted):
                self.quiet_since_s = math.inf
            elif isinstance(event, SpeechEnded):
                self.quiet_since_s = (event.speech_end or event.audio_end).seconds
            elif isinstance(event, TurnAffect):
                values = name_of(event.status), event.top_label, event.dimensions.arousal
                print(f"{event.turn_id}:", len(event.utterance_ids), "utterances,", *values, flush=True)


async def main(server: str, path: str = BUNDLED, speed: str = "1") -> None:
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    config = StreamConfig(audio=AudioFormat(sample_rate_hz=rate_hz))
    async with AffectClient(server) as client, client.stream(config) as stream, asyncio.TaskGroup() as tasks:
        agent = Agent(stream)
        tasks.create_task(agent.hear(samples[:, 0], rate_hz, float(speed)))
        await agent.listen()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
