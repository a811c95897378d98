"""What a browser may send to the bridge: text that should be a message in JSON, and audio as bytes.

An input is parts, each after its length: a text begins with ``t``, bytes with anything else.
"""

from __future__ import annotations

import json
import random
from typing import Any

from google.protobuf.descriptor import Descriptor

from affectstream import errors
from affectstream.bridge import faults
from affectstream.bridge.messages import event_text, text_of
from affectstream.bridge.speech import JsonSpeech
from affectstream.v1 import affect_pb2 as pb
from tests.fuzz.messages import joined, split
from tests.fuzz.objects import json_mutated
from tests.fuzz.oracle import Found, check_bridge_error, check_text, watched
from tests.fuzz.target import Flip, Target, stateless


def run(data: bytes) -> None:
    """Every message until the first that ends the call."""
    speech = JsonSpeech("")
    with watched():
        for part in split(data):
            text = part[:1] == b"t"
            try:
                requests = speech.requests(part[1:].decode("utf-8", "replace") if text else part[1:])
            except errors.AffectStreamError as error:
                check_bridge_error(error, part)
                check_text(text_of(faults.as_json(error)), part)
                return
            for request in requests:
                if pb.StreamAffectRequest.FromString(request.SerializeToString()) != request:
                    raise Found(f"not the same on the wire: {request}")
                # What goes to the server comes back to the browser in events: ids, labels, texts.
                event_text(pb.SessionEvent(session_id=request.config.session_id))


def words_of(descriptor: Descriptor) -> set[str]:
    """Every name in a message's JSON."""
    seen: set[str] = set()
    found: set[str] = set()
    waiting = [descriptor]
    while waiting:
        kind = waiting.pop()
        if kind.full_name in seen:
            continue
        seen.add(kind.full_name)
        for field in kind.fields:
            found.add(f'"{field.json_name}":')
            if field.enum_type is not None:
                found |= {f'"{value.name}"' for value in field.enum_type.values}
            if field.message_type is not None:
                waiting.append(field.message_type)
    return found


def _text(message: Any) -> bytes:
    return b"t" + json.dumps(message).encode()


def _seeds() -> dict[str, bytes]:
    audio = {"encoding": "AUDIO_ENCODING_LINEAR16", "sampleRateHz": 16000, "channelCount": 1}
    channels = [{"index": 0, "participantId": "a", "subjectRole": "SUBJECT_ROLE_CUSTOMER", "analyze": True}]
    config = {"audio": audio, "channels": channels, "labels": {"a": "b"}, "outputs": {"cues": True}}
    resume = {"sessionId": "s", "resumeToken": "AAAA", "audioOffsetSamples": "16000"}
    controls = [
        _text({"control": {"positionSamples": "1", "controlId": "c", field.json_name: {}}})
        for field in pb.Control.DESCRIPTOR.oneofs_by_name["control"].fields
    ]
    return {
        "config": joined([_text({"config": config})]),
        "resume": joined([_text({"config": {"audio": audio, "resume": resume}})]),
        "audio": joined([_text({"config": config}), b"b\0\1\2\3", _text({"audio": {"data": "AAECAw=="}})]),
        "controls": joined(controls),
        "wrong": joined([_text({"config": {"audio": {"encoding": "MP3"}}})]),
        "duplicates": joined([b't{"config":{"sessionId":"a","session_id":"b"}}']),
    }


def mutate(data: bytes, max_size: int, seed: int, flip: Flip) -> bytes:
    """One message changed, or another one put beside it."""
    chance = random.Random(seed)  # noqa: S311 - the fuzzer's own seed
    parts = split(data) or [b"t{}"]
    place = chance.randrange(len(parts))
    if chance.random() < 0.1:
        parts.insert(place, chance.choice(parts))
    elif parts[place][:1] == b"t":
        parts[place] = b"t" + json_mutated(parts[place][1:], chance, flip, _NAMES)
    else:
        parts[place] = flip(parts[place], 4_096)
    return joined(part[:0xFFFF] for part in parts)[:max_size]


_WORDS = sorted(words_of(pb.StreamAffectRequest.DESCRIPTOR))
_NAMES = [word.strip('":') for word in _WORDS]
TARGET = Target(
    opened=stateless(run),
    seeds=_seeds(),
    most_bytes=8 * 1024,
    words=(
        *_WORDS,
        *("{}", "[]", "null", "true", "1e999", "NaN", "-1", '"\\ud800"', '"AAA="', '"1.5s"'),
    ),
    mutate=mutate,
)
