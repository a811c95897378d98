"""One tenant that takes what it can get: `python -m bench.flood` with a `Flood` on stdin, until stdin ends.

Streams that send as fast as they are read, one after the other in each place, and analyses one after the
other. A call that is refused is made again after a tenth of a second, whatever the server asked for.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import grpc

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream.v1 import affect_pb2 as pb
from affectstream.writing import Call as StreamCall
from affectstream.writing import WriteFailed, close, write
from bench.channel import METHOD
from bench.stream import metadata
from bench.talks import CONFIG, END_OF_AUDIO, read

_ANALYZE: Final = "/affectstream.v1.AffectService/AnalyzeUtterance"
_FRAME_SAMPLES: Final = 1_600
"""100 ms: large frames leave the cores to the server."""
_UTTERANCE_FRAMES: Final = 40
_STREAM_FRAMES: Final = 600
_AGAIN_S: Final = 0.1
_NICE: Final = 10
_CHANNELS: Final = 8

Call = Callable[[grpc.aio.Channel], Awaitable[grpc.StatusCode]]


@dataclass(frozen=True, slots=True)
class Flood:
    """How much of it."""

    address: str
    token: str
    talk: str
    streams: int
    analyses: int

    def to_json(self) -> str:
        return json.dumps(asdict(self))


class Flooder:
    """The calls of one flood, and what became of them."""

    def __init__(self, flood: Flood) -> None:
        self._flood = flood
        self._metadata = metadata(flood.token)
        parse = pb.StreamAffectRequest.FromString
        self._talk = [parse(one) for one in read(Path(flood.talk), _FRAME_SAMPLES)]
        self._config, self._end = parse(CONFIG), parse(END_OF_AUDIO)
        self.counts: Counter[str] = Counter()

    async def run(self, until: asyncio.Event) -> None:
        """Flood until told to stop."""
        options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_retries", 0))
        channels = [grpc.aio.insecure_channel(self._flood.address, options=options) for _ in range(_CHANNELS)]
        turn = itertools.cycle(channels)
        tasks = [
            asyncio.create_task(self._again("stream", self._stream, next(turn)))
            for _ in range(self._flood.streams)
        ]
        tasks += [
            asyncio.create_task(self._again("analysis", self._analyze, next(turn)))
            for _ in range(self._flood.analyses)
        ]
        await until.wait()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.gather(*(channel.close() for channel in channels))

    async def _again(self, name: str, call: Call, channel: grpc.aio.Channel) -> None:
        while True:
            code = await call(channel)
            self.counts[f"{name} {code.name}"] += 1
            if code is not grpc.StatusCode.OK:
                await asyncio.sleep(_AGAIN_S)

    async def _stream(self, channel: grpc.aio.Channel) -> grpc.StatusCode:
        method: Any = channel.stream_stream(
            METHOD, pb.StreamAffectRequest.SerializeToString, pb.StreamAffectResponse.FromString
        )
        call = method(metadata=self._metadata)
        sending = asyncio.create_task(self._send(call))
        try:
            async for _ in call:
                pass
        except grpc.aio.AioRpcError:
            pass  # its status says why
        finally:
            sending.cancel()
            await asyncio.wait([sending])
        code: grpc.StatusCode = await call.code()
        return code

    async def _send(self, call: StreamCall) -> None:
        try:
            await write(call, self._config)
            for request in itertools.islice(itertools.cycle(self._talk), _STREAM_FRAMES):
                await write(call, request)
                self.counts["frames"] += 1
            await write(call, self._end)
            await close(call)
        except WriteFailed:
            return  # the call is over

    async def _analyze(self, channel: grpc.aio.Channel) -> grpc.StatusCode:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(_ANALYZE)
        frames = [request.audio.data for request in self._talk[:_UTTERANCE_FRAMES]]
        audio = pb.AudioFormat(
            encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=SAMPLE_RATE_HZ, channel_count=1
        )
        request = pb.AnalyzeUtteranceRequest(
            audio=audio, data=b"".join(frames), consent_basis=pb.CONSENT_BASIS_NOT_PERSONAL
        )
        call = method(request.SerializeToString(), metadata=self._metadata)
        return await call.code()


async def flood(job: Flood) -> Counter[str]:
    """Flood until stdin ends."""
    over = asyncio.Event()
    loop = asyncio.get_running_loop()
    waiting = loop.run_in_executor(None, sys.stdin.read)
    waiting.add_done_callback(lambda _: over.set())
    flooder = Flooder(job)
    await flooder.run(over)
    return flooder.counts


def main() -> int:
    os.nice(_NICE)  # it shares a core with the driver, whose lateness would be taken for the server's
    job = Flood(**json.loads(sys.stdin.readline()))
    sys.stdout.write(json.dumps(asyncio.run(flood(job))) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
