"""The server's detector and segmenters, and nothing around them: decode, detect, segment.

As the peers' rows are: a voice activity detector that is fed, without messages, quotas or events.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from affectstream_server.channel import Channel
from affectstream_server.settings import load
from affectstream_server.stages.decode import AudioFormat, Decoder
from affectstream_server.stages.detect import Detector
from affectstream_server.stages.segment import Endpointing, Segmenter, Trigger
from affectstream_server.utterance import Utterance
from bench.vad.row import main

_FORMAT: Final = AudioFormat("LINEAR16", 16_000, 1)


class Stages:
    """Channels on one detector, looked at as frames come."""

    def __init__(self) -> None:
        settings = load(environ={})
        self._rules = Endpointing.from_settings(settings.endpointing)
        self._detector = Detector(settings.detection.max_batch)
        self._channels: list[Channel] = []
        self._found = 0

    def frame(self, data: bytes) -> bytes:
        return data

    async def start(self, streams: int) -> None:
        for stream in range(streams):
            slot, decoder = self._detector.open(), Decoder(_FORMAT, 0)
            self._channels.append(Channel(0, slot, decoder, Segmenter(self._rules), f"{stream}"))

    async def push(self, due: Sequence[tuple[int, bytes]]) -> None:
        now = time.monotonic()
        for stream, data in due:
            self._channels[stream].feed(data, now)
        ready = [self._channels[stream] for stream, _ in due if self._channels[stream].has_block]
        most = self._detector.max_batch
        for start in range(0, len(ready), most):
            self._look_at(ready[start : start + most], now)

    async def stop(self) -> int:
        ended = (channel.close_utterance(Trigger.END_OF_AUDIO) for channel in self._channels)
        return self._found + sum(one is not None for one in ended)

    def _look_at(self, channels: Sequence[Channel], now: float) -> None:
        slots = [channel.slot for channel in channels if channel.slot is not None]
        answers = self._detector.detect(slots, [channel.window() for channel in channels])
        for channel, probability in zip(channels, answers[0].tolist(), strict=True):
            decided = channel.decide(probability, now)
            self._found += sum(isinstance(one, Utterance) for one in decided)


if __name__ == "__main__":
    main({"ours-stages": Stages})
