"""Play a talk to the bridge as a telephone provider would: the caller inbound, the agent silent.

affectstream bridge --server 127.0.0.1:50551 --listen 127.0.0.1:8080
python examples/telephony.py 127.0.0.1:8080 [RECORDING] [SPEED]
"""

import asyncio
import base64
import io
import sys
from importlib.resources import files
from typing import Any

import aiohttp
import soundfile

BUNDLED = files("affectstream") / "samples" / "talk.flac"
FRAME = 160  # 20 ms of μ-law at 8 kHz
FORMAT = {"encoding": "audio/x-mulaw", "sampleRate": 8_000, "channels": 1}


def mulaw(path: str) -> bytes:
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    step = rate_hz // 8_000
    narrow = samples[: len(samples) // step * step, 0].reshape(-1, step).mean(axis=1).astype("int16")
    encoded = io.BytesIO()
    soundfile.write(encoded, narrow, rate_hz // step, format="RAW", subtype="ULAW")
    return encoded.getvalue()


async def play(socket: Any, audio: bytes, speed: float) -> None:
    ids = {"streamSid": "MZ0001"}
    parameters = {"affectstream_events": "affect", "affectstream_label_queue": "returns"}
    started = {"callSid": "CA0001", "tracks": ["inbound", "outbound"], "mediaFormat": FORMAT}
    started["customParameters"] = parameters
    await socket.send_json({"event": "connected", "protocol": "Call", "version": "1.0.0"})
    await socket.send_json({"event": "start", "start": started} | ids)
    for number, begin in enumerate(range(0, len(audio), FRAME)):
        for track, data in (("inbound", audio[begin : begin + FRAME]), ("outbound", b"\xff" * FRAME)):
            payload = base64.b64encode(data).decode()
            media = {"track": track, "chunk": str(number), "timestamp": str(20 * number), "payload": payload}
            await socket.send_json({"event": "media", "media": media} | ids)
        await asyncio.sleep(0.020 / speed)
    await socket.send_json({"event": "stop"} | ids)


async def main(bridge: str, path: str = str(BUNDLED), speed: str = "1") -> None:
    url = f"http://{bridge}/v1/telephony"
    session, tasks = aiohttp.ClientSession(), asyncio.TaskGroup()
    async with session, session.ws_connect(url) as socket, tasks:
        tasks.create_task(play(socket, mulaw(path), float(speed)))
        async for message in socket:
            said = message.json()
            if affect := said.get("affect"):
                span = f"{float(affect['audioStart'][:-1]):6.2f}-{float(affect['audioEnd'][:-1]):5.2f} s"
                print(f"{said['track']:>8} {span}  {affect.get('topLabel', affect['status'])}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
