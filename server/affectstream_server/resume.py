"""Resume: who may continue a session, and with what.

A session has a key of its own; each of its streams gets a token made with it. A token that is used shows
that its holder got that stream's first event, so the tokens before it are worth nothing from then on.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from typing import Final

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import InvalidRequest, NotFound, Refused

_EPOCH_BYTES: Final = 4
_MAY_DIFFER: Final = frozenset({"session_id", "resume", "audio"})


class ResumeKey:
    """Makes and checks the tokens of one session."""

    def __init__(self, mark: bytes = b"") -> None:
        """``mark`` ends each token: no secret, and where the session is to be found."""
        self._secret = secrets.token_bytes(32)
        self._mark = mark
        self._least = 0

    def token(self, epoch: int) -> bytes:
        """The token of a stream: secret, 20 bytes and the mark."""
        number = epoch.to_bytes(_EPOCH_BYTES)
        return number + hmac.new(self._secret, number, hashlib.sha256).digest()[:16] + self._mark

    def check(self, token: bytes) -> None:
        """Take a token. Raises `NotFound` for a wrong one, `Refused` for one of an earlier stream."""
        epoch = int.from_bytes(token[:_EPOCH_BYTES])
        if not hmac.compare_digest(token, self.token(epoch)):
            raise no_session()
        if epoch < self._least:
            raise Refused(
                "config.resume.resume_token: a later stream of this session was continued already",
                reason="RESUME_SUPERSEDED",
                field="config.resume.resume_token",
                value=f"epoch {epoch}",
                limit=f"epoch {self._least} or later",
            )
        self._least = epoch


NOBODYS: Final = ResumeKey()
"""Checked where there is no session, so that the answer takes as long."""


def no_session() -> NotFound:
    """One answer, whether the session is not known, over, another tenant's, or the token is wrong."""
    return NotFound(
        "config.resume: there is no session to continue under that id and token; start a new one",
        reason="SESSION_NOT_FOUND",
        field="config.resume",
    )


def check_same(config: pb.SessionConfig, first: pb.SessionConfig, session_id: str) -> None:
    """A resuming stream asks for what the session's first stream asked for. Raises `InvalidRequest`."""
    if config.session_id not in ("", session_id):
        raise InvalidRequest("config.session_id", "another than resume.session_id", "empty or the same")
    for field in pb.SessionConfig.DESCRIPTOR.fields:
        if field.name not in _MAY_DIFFER and getattr(config, field.name) != getattr(first, field.name):
            raise InvalidRequest(
                f"config.{field.name}",
                "something else than before",
                "what the session's first stream said",
                reason="RESUME_CONFIG_DIFFERS",
            )
    have, had = config.audio.channel_count or 1, first.audio.channel_count or 1
    if have != had:
        raise InvalidRequest("config.audio.channel_count", have, had, reason="RESUME_CONFIG_DIFFERS")
