"""What a telephone provider may send to the bridge: one JSON object a line, one line a message."""

from __future__ import annotations

import json
import random
from typing import Any

from affectstream import errors
from affectstream.bridge import faults
from affectstream.bridge.messages import text_of
from affectstream.bridge.telephony import TelephonySpeech
from affectstream.v1 import affect_pb2 as pb
from tests.fuzz.objects import json_mutated
from tests.fuzz.oracle import Found, check_bridge_error, check_text, watched
from tests.fuzz.target import Flip, Target, stateless

MOST_LINES = 64
SECRET = "hunter2-hunter2"  # noqa: S105 - nobody's
"""A token: no error may repeat it where it stands as one."""
EVENTS = (
    pb.SessionEvent(session_id="s", sequence=1, affect=pb.AffectEvent(utterance_id="u"), channel=1),
    pb.SessionEvent(session_id="s", sequence=2, progress=pb.Progress()),
)


def run(data: bytes) -> None:
    """A call's messages until the first that ends it."""
    speech = TelephonySpeech("")
    frames = 0
    with watched():
        for line in data.split(b"\n")[:MOST_LINES]:
            try:
                requests = speech.requests(line.decode("utf-8", "replace"))
            except errors.AffectStreamError as error:
                check_bridge_error(error, line)
                check_text(text_of(faults.as_json(error)), line)
                if f'_token": "{SECRET}'.encode() in line and SECRET in str(error):
                    raise Found(f"a token in {error}") from None
                return
            for request in requests:
                if len(request.audio.data) > 2 * 999_999:
                    raise Found(f"{len(request.audio.data)} bytes of audio in a message")
                if request.HasField("audio"):
                    if request.audio.start_samples < frames:
                        raise Found(f"audio at {request.audio.start_samples} after {frames}")
                    frames = request.audio.start_samples
                request.SerializeToString()
            for event in EVENTS:
                speech.text(event).encode()


def _lines(*messages: Any) -> bytes:
    return b"\n".join(json.dumps(message).encode() for message in messages)


def _media(payload: str, **fields: Any) -> dict[str, Any]:
    return {"event": "media", "media": {"payload": payload, **fields}}


def _seeds() -> dict[str, bytes]:
    form = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
    parameters = {
        "affectstream_analyze": "both",
        "affectstream_events": "all",
        "affectstream_token": SECRET,
        "affectstream_language": "en",
        "affectstream_consent": "explicit",
        "affectstream_label_agent": "x",
        "crm": "y",
    }
    start = {"callSid": "CA1", "streamSid": "MZ1", "mediaFormat": form}
    both = {"event": "start", "streamSid": "MZ1", "start": {**start, "customParameters": parameters}}
    snake = {"event": "start", "stream_id": "1", "start": {"call_control_id": "v3:1", "media_format": form}}
    sound = "/////w==" * 8
    stop = {"event": "stop"}
    return {
        "call": _lines({"event": "connected"}, {"event": "start", "start": start}, _media(sound), stop),
        "both": _lines(
            both,
            _media(sound, track="inbound", timestamp="20"),
            _media(sound, track="outbound", timestamp="900"),
            stop,
        ),
        "hole": _lines(
            {"event": "start", "start": start},
            _media(sound, timestamp=1),
            _media(sound, timestamp="999999999999999"),
            stop,
        ),
        "snake": _lines(snake, {"event": "mark"}, _media(sound)),
    }


def mutate(data: bytes, max_size: int, seed: int, flip: Flip) -> bytes:
    """One line changed, or another one put beside it."""
    chance = random.Random(seed)  # noqa: S311 - the fuzzer's own seed
    lines = data.split(b"\n")
    place = chance.randrange(len(lines))
    if chance.random() < 0.1:
        lines.insert(place, chance.choice(lines))
    else:
        lines[place] = json_mutated(lines[place], chance, flip, _NAMES)
    return b"\n".join(lines)[:max_size]


_NAMES = (
    *("event", "start", "media", "stop", "payload", "track", "timestamp", "inbound", "outbound"),
    *("mediaFormat", "media_format", "customParameters", "custom_parameters", "encoding", "sampleRate"),
    *("channels", "PCMA", "PCMU", "audio/x-alaw", "affectstream_analyze", "affectstream_events"),
    *("affectstream_consent", "affectstream_token", "affectstream_language", "callSid", "stream_id"),
    "affectstream_label_a",
)
TARGET = Target(
    opened=stateless(run),
    seeds=_seeds(),
    most_bytes=8 * 1024,
    words=(
        *(f'"{name}"' for name in _NAMES),
        *("null", "true", "[]", "{}", "-1", "1e9", '"\\ud800"'),
    ),
    mutate=mutate,
)
