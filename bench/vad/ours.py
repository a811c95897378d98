"""The server's own way: its pipeline and its sessions, everything but gRPC and scoring.

Each stream is a session as its edge holds one: messages that are parsed go in, serialised events come out.
Consent was withdrawn at the beginning, so every utterance is found and declared, and none is scored.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth.identity import ANONYMOUS
from affectstream_server.pipeline import Pipeline
from affectstream_server.scoring.router import from_settings
from affectstream_server.settings import load
from affectstream_server.stream import Stream
from bench.talks import CONFIG, END_OF_AUDIO, NOT_SCORED
from bench.vad.row import main

_CANARY_S = 300
"""Nothing is scored, so the model would be looked at all the time."""

Message = pb.StreamAffectRequest


class Ours:
    """Sessions on one pipeline."""

    def __init__(self) -> None:
        settings = load(environ={}, overrides={"scoring": {"canary_s": _CANARY_S}})
        self._pipeline = Pipeline(settings, from_settings(settings))
        self._streams: list[Stream] = []
        self._writers: list[asyncio.Task[None]] = []
        self._events: list[bytes] = []

    def frame(self, data: bytes) -> Message:
        return Message(audio=pb.AudioChunk(data=data))

    async def start(self, streams: int) -> None:
        self._pipeline.start()
        self._pipeline.router.start(lambda: None)
        for _ in range(streams):
            stream = self._pipeline.open_stream(ANONYMOUS)
            for request in (CONFIG, NOT_SCORED):
                stream.receive(Message.FromString(request))
            self._streams.append(stream)
            self._writers.append(asyncio.create_task(stream.write_all(self._write)))

    async def push(self, due: Sequence[tuple[int, Message]]) -> None:
        streams = self._streams
        for stream, message in due:
            streams[stream].receive(message)

    async def stop(self) -> int:
        for stream in self._streams:
            stream.receive(Message.FromString(END_OF_AUDIO))
        await asyncio.gather(*self._writers)
        for stream in self._streams:
            self._pipeline.close_stream(stream)
        await self._pipeline.close()
        events = (pb.StreamAffectResponse.FromString(data).event for data in self._events)
        return sum(event.HasField("speech_ended") for event in events)

    async def _write(self, event: bytes) -> None:
        self._events.append(event)


if __name__ == "__main__":
    main({"ours": Ours})
