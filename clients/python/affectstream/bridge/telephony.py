"""How `/v1/telephony` speaks: connected, start, media, stop, as providers' media streams say them."""

from __future__ import annotations

import binascii
import re
from typing import Any

from google.protobuf import json_format

from affectstream.bridge.call import Call, read_start
from affectstream.bridge.faults import malformed
from affectstream.bridge.messages import read_json, text_of
from affectstream.bridge.relay import END
from affectstream.bridge.tracks import Tracks
from affectstream.v1 import affect_pb2 as pb


class TelephonySpeech:
    """One call's words.

    Args:
        token: From the request's header; empty: the start message may bring one.
    """

    def __init__(self, token: str) -> None:
        self.token = token
        self._call: Call | None = None
        self._tracks: Tracks | None = None
        self._stopped = False

    def requests(self, message: str | bytes) -> list[pb.StreamAffectRequest]:
        """See `Speech.requests`. What comes after ``stop``, and events that are not known, are ignored."""
        if isinstance(message, bytes):
            raise malformed("message", "bytes", "text: an object in JSON")
        found = read_json(message)
        kind = found.get("event")
        if not isinstance(kind, str):
            raise malformed(
                "event", "nothing" if kind is None else "no text", "connected, start, media or stop"
            )
        if self._stopped:
            return []
        if kind == "start":
            return [self._start(found)]
        if kind not in ("media", "stop"):
            return []
        if self._tracks is None:
            raise malformed("event", kind, "start first", reason="START_MUST_BE_FIRST")
        if kind == "media":
            return self._media(found.get("media"), self._tracks)
        self._stopped = True
        return [*_audio(self._tracks.rest()), END]

    def text(self, event: pb.SessionEvent) -> str:
        """See `Speech.text`."""
        kind = event.WhichOneof("event")
        call = self._call
        if kind is None or call is None or call.events == "none":
            return ""
        if call.events == "affect" and kind not in ("affect", "turn_affect"):
            return ""
        told = json_format.MessageToDict(event)
        name = event.DESCRIPTOR.fields_by_name[kind].json_name
        message: dict[str, Any] = {"event": name, "streamSid": call.stream_id, name: told[name]}
        message |= {key: told[key] for key in ("sessionId", "sequence") if key in told}
        if event.HasField("channel") and event.channel < len(call.tracks):
            message["track"] = call.tracks[event.channel]
        return text_of(message)

    def _start(self, message: dict[str, Any]) -> pb.StreamAffectRequest:
        if self._call is not None:
            raise malformed("event", "a second start", "one for each WebSocket", reason="ALREADY_STARTED")
        call = self._call = read_start(message)
        self._tracks = Tracks(call.tracks, call.config.audio.sample_rate_hz, call.silence)
        self.token = self.token or call.token
        return pb.StreamAffectRequest(config=call.config)

    def _media(self, media: object, tracks: Tracks) -> list[pb.StreamAffectRequest]:
        if not isinstance(media, dict):
            raise malformed("media", "no object", "an object")
        most = self._call.config.audio.sample_rate_hz if self._call else 0
        try:
            data = binascii.a2b_base64(media["payload"], strict_mode=True)
        except (KeyError, TypeError, ValueError):
            raise malformed("media.payload", "no base64", "audio in base64") from None
        if len(data) > most:
            raise malformed("media.payload", f"{len(data)} bytes", f"at most {most} bytes, one second")
        track = media.get("track", "inbound")
        if not isinstance(track, str):
            raise malformed("media.track", "no text", "inbound or outbound")
        return _audio(tracks.add(track, data, _timestamp(media.get("timestamp"))))


def _timestamp(given: object) -> int | None:
    if given is None:
        return None
    text = str(given) if isinstance(given, int | str) and not isinstance(given, bool) else ""
    if not re.fullmatch(r"[0-9]{1,15}", text, re.ASCII):
        raise malformed("media.timestamp", "no such number", "milliseconds, a whole number from 0")
    return int(text)


def _audio(pieces: list[tuple[int, bytes]]) -> list[pb.StreamAffectRequest]:
    return [
        pb.StreamAffectRequest(audio=pb.AudioChunk(data=data, start_samples=position))
        for position, data in pieces
    ]
