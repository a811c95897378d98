"""A call with the customer on one channel and the agent on the other: each has utterances of its own.

Without a recording the bundled talk is dealt out: its sentences go to the two channels in turn.

python examples/two_channels.py 127.0.0.1:50551 [STEREO_RECORDING]
"""

import asyncio
import sys
from importlib.resources import files
from itertools import pairwise
from typing import Any

import numpy as np
import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream, AudioFormat, Channel, StreamConfig
from affectstream.enums import SubjectRole

BUNDLED = files("affectstream") / "samples"
SPEAKERS = ("customer", "agent")


async def send(stream: AffectStream, samples: Any, rate_hz: int) -> None:
    for block in np.array_split(samples, -(-len(samples) * 10 // rate_hz)):
        await stream.send(block)
    await stream.end()


def dealt_out() -> tuple[Any, int]:
    mono, rate_hz = soundfile.read(str(BUNDLED / "talk.flac"), dtype="int16")
    stereo = np.zeros((len(mono), 2), np.int16)
    starts = [float(line.split()[0]) for line in (BUNDLED / "talk.tsv").read_text().splitlines()[1:]]
    cuts = [0, *(round((start - 0.3) * rate_hz) for start in starts[1:]), len(mono)]
    for number, (begin, end) in enumerate(pairwise(cuts)):
        stereo[begin:end, number % 2] = mono[begin:end]
    return stereo, rate_hz


async def main(server: str, path: str = "") -> None:
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True) if path else dealt_out()
    roles = (SubjectRole.CUSTOMER, SubjectRole.AGENT)
    config = StreamConfig(
        audio=AudioFormat(sample_rate_hz=rate_hz, channel_count=2),
        channels=tuple(Channel(index=i, participant_id=SPEAKERS[i], subject_role=roles[i]) for i in (0, 1)),
    )
    async with AffectClient(server) as client, client.stream(config) as stream, asyncio.TaskGroup() as tasks:
        tasks.create_task(send(stream, samples, rate_hz))
        async for event in stream:
            if isinstance(event, AffectEvent) and event.is_final and event.channel is not None:
                at = f"{event.audio_start.seconds:6.2f}-{event.audio_end.seconds:5.2f} s"
                print(f"{SPEAKERS[event.channel]:>8} {at}  {event.top_label or event.status_detail}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
