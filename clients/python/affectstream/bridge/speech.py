"""How `/v1/stream` speaks: the server's own messages as JSON, and audio as it is."""

from __future__ import annotations

from affectstream.bridge import messages
from affectstream.v1 import affect_pb2 as pb


class JsonSpeech:
    """One WebSocket's words; keeps nothing."""

    def __init__(self, token: str) -> None:
        self.token = token

    def requests(self, message: str | bytes) -> list[pb.StreamAffectRequest]:
        """See `Speech.requests`."""
        if isinstance(message, bytes):
            return [pb.StreamAffectRequest(audio=pb.AudioChunk(data=message))]
        return [messages.read_request(message)]

    def text(self, event: pb.SessionEvent) -> str:
        """See `Speech.text`."""
        return messages.event_text(event)
