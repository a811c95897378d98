"""Send a recording as fast as the server takes it; print one JSON line for each utterance.

python examples/file_to_jsonl.py 127.0.0.1:50551 [RECORDING] > utterances.jsonl
"""

import asyncio
import json
import sys
from importlib.resources import files

import soundfile

from affectstream import AffectClient, AffectEvent, AffectStream, AudioFormat, Channel, StreamConfig
from affectstream.enums import name_of

BUNDLED = str(files("affectstream") / "samples" / "talk.flac")


async def send(stream: AffectStream, recording: soundfile.SoundFile) -> None:
    for block in recording.blocks(blocksize=recording.samplerate // 10, dtype="int16", always_2d=True):
        await stream.send(block)
    await stream.end()


async def main(server: str, path: str = BUNDLED) -> None:
    with soundfile.SoundFile(path) as recording:
        config = StreamConfig(
            audio=AudioFormat(sample_rate_hz=recording.samplerate, channel_count=recording.channels),
            channels=tuple(Channel(index=index) for index in range(recording.channels)),
        )
        async with (
            AffectClient(server) as client,
            client.stream(config) as stream,
            asyncio.TaskGroup() as tasks,
        ):
            tasks.create_task(send(stream, recording))
            async for event in stream:
                if isinstance(event, AffectEvent) and event.is_final:
                    print(json.dumps(row(event)), flush=True)


def row(event: AffectEvent) -> dict[str, object]:
    return {
        "channel": event.channel,
        "start_s": event.audio_start.seconds,
        "end_s": event.audio_end.seconds,
        "status": name_of(event.status),
        "emotions": {score.label: round(score.probability, 4) for score in event.emotions},
        "arousal": event.dimensions.arousal,
        "valence": event.dimensions.valence,
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
