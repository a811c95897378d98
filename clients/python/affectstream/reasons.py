"""Why a call failed or a stream was warned: every `reason` of an error and every `code` of a `Warning`.

A name stays what it is; new ones come without a new version of the protocol, so that a program has to do
something with one that it does not know. This module imports the standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Reason:
    """When an error has this reason, and what helps."""

    status: str
    """The gRPC status that it comes with."""
    when: str
    """What was wrong; one or two plain sentences."""
    retry: str = ""
    """What helps where the same call may go well later; empty: nothing, the call has to change."""
    delay: bool = False
    """The error says after how many seconds a retry is welcome (`retry_after_s`, RetryInfo)."""


_INVALID: Final = "INVALID_ARGUMENT"
_EXHAUSTED: Final = "RESOURCE_EXHAUSTED"
_LATER: Final = "the same call"

SERVER: Final = {
    "AUDIO_CORRUPT": Reason(_INVALID, "AnalyzeUtterance: the Opus stream is damaged; the value says where."),
    "BAD_CHANNEL_COUNT": Reason(_INVALID, "More interleaved channels than are taken, or than Opus has."),
    "BAD_CURSOR": Reason(_INVALID, "WatchAffect: `after` is no cursor, or one of something else."),
    "BAD_SAMPLE_RATE": Reason(_INVALID, "A sample rate that is not taken, or that Opus has not."),
    "BUS_AWAY": Reason(
        "UNAVAILABLE",
        "Redis, which retains the events, cannot be reached.",
        "the same call, with the last cursor",
        True,
    ),
    "CHANNEL_MISMATCH": Reason(_INVALID, "The Opus stream has other channels than the config says."),
    "CHANNEL_TWICE": Reason(_INVALID, "`config.channels` names a channel twice."),
    "CHUNK_TOO_LONG": Reason(_INVALID, "A chunk holds more than a second of audio."),
    "CONFIG_MUST_BE_FIRST": Reason(_INVALID, "The first message was no config, or none came in time."),
    "CONSENT_REQUIRED": Reason("FAILED_PRECONDITION", "The server wants a consent basis and none was given."),
    "CURSOR_FALLEN_OUT": Reason(
        "OUT_OF_RANGE",
        "What followed the cursor is not retained any more.",
        "with the cursor that `limit` holds",
    ),
    "DRAINING": Reason("UNAVAILABLE", "The server is shutting down.", "a new session, elsewhere", True),
    "EMPTY_CONTROL": Reason(_INVALID, "A control says nothing, or something that this server does not know."),
    "EMPTY_REQUEST": Reason(_INVALID, "A message is none of config, audio, control."),
    "INTERNAL_FAULT": Reason("INTERNAL", "The server failed; its log has the fault, under the session's id."),
    "INVALID_FIELD": Reason(_INVALID, "A field is outside its range, too long or malformed."),
    "MALFORMED_MESSAGE": Reason(_INVALID, "Bytes that are no protobuf message of this kind."),
    "MESSAGE_AFTER_END": Reason(_INVALID, "Something came after `end_of_audio`."),
    "MESSAGE_TOO_LARGE": Reason(
        _EXHAUSTED, "A message is larger than is read: send audio in smaller chunks."
    ),
    "MODEL_NOT_READY": Reason(
        "UNAVAILABLE", "The model starts, or is out after wrong answers.", _LATER, True
    ),
    "NOT_FINITE": Reason(_INVALID, "FLOAT32 audio holds NaN or an infinity; the value says where."),
    "NOT_OPUS": Reason(
        _INVALID, "The first bytes are not the beginning of an Ogg stream with Opus, or no Opus packet."
    ),
    "NOT_SERVED": Reason("UNIMPLEMENTED", "The contract knows it and this server does not serve it."),
    "NO_AUDIO": Reason(_INVALID, "AnalyzeUtterance: there is no audio in the request."),
    "NO_CHANNEL": Reason(_INVALID, "The audio has several channels, and none was named to analyse."),
    "NO_SUCH_CHANNEL": Reason(_INVALID, "A channel that the audio has not."),
    "NO_TOKEN_KEYS": Reason(
        "UNAVAILABLE",
        "Tokens cannot be checked: the identity provider's keys were not had yet.",
        _LATER,
        True,
    ),
    "OFFSET_OUT_OF_RANGE": Reason(
        _INVALID, "Resuming: the offset is negative, or later than the time that has passed."
    ),
    "PARTIAL_FRAME": Reason(_INVALID, "The bytes are no whole number of sample frames."),
    "RESUME_CONFIG_DIFFERS": Reason(
        _INVALID, "Resuming with another config than the session's first stream had."
    ),
    "RESUME_SUPERSEDED": Reason("FAILED_PRECONDITION", "A later stream went on with this session."),
    "ROLE_REFUSED": Reason(
        "FAILED_PRECONDITION", "Every channel to analyse has a role that the server refuses."
    ),
    "SECOND_CONFIG": Reason(_INVALID, "A config came after the first message."),
    "SESSION_AGE": Reason(_EXHAUSTED, "The session's audio is at its limit.", "a new session"),
    "SESSION_ENDED": Reason(
        "FAILED_PRECONDITION", "WatchAffect from LATEST of a session that has ended.", "from EARLIEST"
    ),
    "SESSION_EXISTS": Reason(
        "ALREADY_EXISTS",
        "A new session asked for the id of one that is open.",
        "another id, or when it is over",
        True,
    ),
    "SESSION_NOT_FOUND": Reason(
        "NOT_FOUND",
        "No such session for this caller, it is over, nothing of it is retained, or a wrong resume token.",
    ),
    "SLOW_READER": Reason(
        _EXHAUSTED, "Events were not read in time.", "resume, or watch on from the last cursor"
    ),
    "STREAM_AGE": Reason("UNAVAILABLE", "The stream is at its age limit.", "resume at once", True),
    "SUBJECT_MISSING": Reason(_INVALID, "WatchAffect: neither a session nor the tenant was asked for."),
    "SUPERSEDED": Reason("ABORTED", "Another stream continued this session."),
    "TENANT_ANALYSES": Reason(
        _EXHAUSTED, "The tenant's AnalyzeUtterance calls at once are used up.", _LATER, True
    ),
    "TENANT_AUDIO_RATE": Reason(
        _EXHAUSTED, "AnalyzeUtterance: the tenant's seconds of audio a second are used up.", _LATER, True
    ),
    "TENANT_STREAMS": Reason(_EXHAUSTED, "The tenant's streams at once are used up.", _LATER, True),
    "TENANT_UTTERANCES": Reason(
        _EXHAUSTED, "AnalyzeUtterance: the tenant's utterances of this minute are used up.", _LATER, True
    ),
    "TOKEN_NOT_ACCEPTED": Reason(
        "UNAUTHENTICATED", "No token, or none that is accepted; the server's log says why."
    ),
    "TOO_MANY_ANALYSES": Reason(
        _EXHAUSTED, "The server's AnalyzeUtterance calls at once are used up.", _LATER, True
    ),
    "TOO_MANY_CALLS": Reason(
        _EXHAUSTED,
        "As many calls are open as the server, a tenant or, of health, a connection may have at once.",
        _LATER,
        True,
    ),
    "TOO_MANY_STREAMS": Reason(_EXHAUSTED, "The server's streams at once are used up.", _LATER, True),
    "TOO_MANY_WATCHERS": Reason(
        _EXHAUSTED, "The server's WatchAffect calls at once are used up.", _LATER, True
    ),
    "TOO_MANY_WATCHERS_OF_SUBJECT": Reason(
        _EXHAUSTED, "This session or tenant has as many watchers as it may.", _LATER, True
    ),
    "UNKNOWN_ENCODING": Reason(_INVALID, "An encoding that this server does not decode."),
    "UNKNOWN_MODEL": Reason(_INVALID, "A model that this server has not; `limit` names those it has."),
    "UTTERANCE_TOO_LONG": Reason(_INVALID, "AnalyzeUtterance: more than 30 s of audio; stream it instead."),
}
"""Reasons that a server gives."""

BRIDGE: Final = {
    "ALREADY_STARTED": Reason(_INVALID, "/v1/telephony: a second `start`."),
    "BRIDGE_FULL": Reason(_EXHAUSTED, "The bridge has as many connections as it may.", _LATER, True),
    "BRIDGE_STOPPING": Reason("UNAVAILABLE", "The bridge shuts down.", "resume, or a new session", True),
    "CONFIG_MUST_BE_FIRST": Reason(_INVALID, "Audio or a control came before the config."),
    "INTERNAL_FAULT": Reason("INTERNAL", "The bridge failed; its log has the fault."),
    "MALFORMED_MESSAGE": Reason(
        _INVALID, "Text that is no JSON, a field that is not known, or a value of another kind."
    ),
    "ORIGIN_NOT_ALLOWED": Reason("PERMISSION_DENIED", "A browser came from a page that may not connect."),
    "PROTOCOL_NOT_SERVED": Reason(_INVALID, "A WebSocket subprotocol that the bridge does not speak."),
    "SERVER_UNREACHABLE": Reason(
        "UNAVAILABLE", "The server behind the bridge cannot be reached.", _LATER, True
    ),
    "SLOW_READER": Reason(_EXHAUSTED, "Events were not read for 5 s.", "resume, or a new session"),
    "START_MUST_BE_FIRST": Reason(_INVALID, "/v1/telephony: `media` or another event before `start`."),
    "START_TIMED_OUT": Reason("DEADLINE_EXCEEDED", "The server did not begin in time.", _LATER),
    "TOKEN_NOT_ACCEPTED": Reason(
        "UNAUTHENTICATED", "The token cannot be passed on: it is not written as one."
    ),
}
"""Reasons that the WebSocket bridge gives beside the server's own."""

CLIENT: Final = {
    "ARRAY_SHAPE": Reason(_INVALID, "An array that is not of shape (frames,) or (frames, channels)."),
    "ARRAY_TYPE": Reason(_INVALID, "An array of another type than the encoding takes."),
    "CONTROLS_PENDING": Reason(
        _EXHAUSTED, "More controls wait for their acknowledgement than are kept.", "when some came"
    ),
    "EVENTS_UNREAD": Reason(
        _EXHAUSTED, "The program waits for controls and never reads the events.", "read them"
    ),
    "MESSAGE_TOO_LARGE": Reason(_INVALID, "AnalyzeUtterance: more audio than a call takes."),
    "PARTIAL_FRAME": Reason(_INVALID, "The bytes are no whole number of sample frames."),
    "TURN_ID_LENGTH": Reason(_INVALID, "A turn's id is empty or too long."),
}
"""Reasons that the Python client gives by itself, before anything is sent."""

WARNINGS: Final = {
    "AUDIO_CORRUPT": "Damaged Opus became silence.",
    "AUDIO_WHILE_PAUSED": "Audio came while it was paused; it is taken as resumed.",
    "BUS_AWAY": "To watchers: Redis cannot be reached; events come later.",
    "BUS_BACK": "To watchers: Redis can be reached again; no event is lost.",
    "CHANNEL_NOT_ANALYSED": "A channel's role is refused: it is not analysed, the others are.",
    "CONTROL_WITHOUT_EFFECT": "A control changed nothing, such as a flush where nobody speaks.",
    "EVENTS_LOST": "Events between are gone: not kept for resuming, or not retained any more.",
    "NO_SUCH_CHANNEL": "A control names a channel that is not analysed.",
    "POSITION_OUT_OF_RANGE": "A control's position is too far back or ahead, or before the utterance.",
    "QUOTA_AUDIO_RATE": "The tenant's audio rate is reached: audio is read later, and none is lost.",
    "QUOTA_UTTERANCES": "The tenant's utterances of this minute are used up: finals say OVERLOADED.",
    "TRACEPARENT_MALFORMED": "`turn_started` with a trace context that is none; the turn began without it.",
    "TRANSCRIPT_LANGUAGE": "A transcript on a stream whose `language_code` is none that is understood.",
    "TRANSCRIPT_TOO_LATE": "A transcript of an utterance whose final was sent already.",
    "TRANSCRIPT_TOO_LONG": "A transcript of more than 4 KiB.",
    "TRANSCRIPT_WITHOUT_UTTERANCE": "A transcript of a span in which no utterance was heard.",
    "TURN_ALREADY_OPEN": "`turn_started` while another turn is open.",
    "TURN_NOT_OPEN": "`turn_ended` of a turn that is not open.",
    "WRONG_MODE": "`speech_started` or `speech_ended` where the server alone finds the utterances.",
}
"""Codes of warnings: something was not as it should be, and the stream goes on."""
