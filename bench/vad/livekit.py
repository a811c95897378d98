"""LiveKit Agents' VAD streams: its Silero plugin, and the VAD that is built in. Both at their defaults."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from livekit import rtc
from livekit.agents import inference, vad
from livekit.plugins import silero

from bench.vad.row import FRAME_SAMPLES, main


class LiveKit:
    """A VADStream for each stream, and a task that reads its events."""

    def __init__(self, source: vad.VAD) -> None:
        self._vad = source
        self._streams: list[vad.VADStream] = []
        self._readers: list[asyncio.Task[int]] = []

    def frame(self, data: bytes) -> rtc.AudioFrame:
        return rtc.AudioFrame(
            data=data, sample_rate=16_000, num_channels=1, samples_per_channel=FRAME_SAMPLES
        )

    async def start(self, streams: int) -> None:
        self._streams = [self._vad.stream() for _ in range(streams)]
        self._readers = [asyncio.create_task(_count(stream)) for stream in self._streams]

    async def push(self, due: Sequence[tuple[int, rtc.AudioFrame]]) -> None:
        for stream, frame in due:
            self._streams[stream].push_frame(frame)

    async def stop(self) -> int:
        for stream in self._streams:
            stream.end_input()
        found = sum(await asyncio.gather(*self._readers))
        await asyncio.gather(*(stream.aclose() for stream in self._streams))
        return found


async def _count(stream: vad.VADStream) -> int:
    found = 0
    async for event in stream:
        found += event.type is vad.VADEventType.END_OF_SPEECH
    return found


if __name__ == "__main__":
    main(
        {
            "livekit-silero": lambda: LiveKit(silero.VAD.load()),
            "livekit-built-in": lambda: LiveKit(inference.VAD()),
        }
    )
