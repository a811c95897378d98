"""What a telephone provider says when a call's media stream starts, as a session's configuration."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final

from affectstream.bridge import admission
from affectstream.bridge.faults import malformed
from affectstream.v1 import affect_pb2 as pb

PREFIX: Final = "affectstream_"
"""Parameters that begin so are for the bridge; the others are somebody else's, and may be secrets."""
LABEL: Final = f"{PREFIX}label_"
"""What follows it is the name of a label."""

_PARAMETERS: Final = tuple(
    f"{PREFIX}{name}" for name in ("token", "analyze", "events", "consent", "language")
)
_ENCODINGS: Final = {
    "audio/x-mulaw": (pb.AUDIO_ENCODING_MULAW, 0xFF),
    "pcmu": (pb.AUDIO_ENCODING_MULAW, 0xFF),
    "audio/x-alaw": (pb.AUDIO_ENCODING_ALAW, 0xD5),
    "pcma": (pb.AUDIO_ENCODING_ALAW, 0xD5),
}
_TRACKS: Final = {"inbound": ("inbound",), "outbound": ("outbound",), "both": ("inbound", "outbound")}
_ROLES: Final = {"inbound": pb.SUBJECT_ROLE_CUSTOMER, "outbound": pb.SUBJECT_ROLE_AGENT}
_EVENTS: Final = ("none", "affect", "all")
_CALL_IDS: Final = ("callSid", "call_sid", "callId", "call_id", "callControlId", "call_control_id")
_STREAM_IDS: Final = ("streamSid", "stream_sid", "streamId", "stream_id")


@dataclass(frozen=True, slots=True)
class Call:
    """One media stream of a call."""

    config: pb.SessionConfig
    tracks: tuple[str, ...]
    """Those that are analysed, in the order of the channels."""
    silence: int
    """One encoded sample."""
    stream_id: str
    """Comes back with every message, as providers want it."""
    events: str
    """Which go back: none, affect or all."""
    token: str
    """Empty: none was given here."""


def read_start(message: dict[str, Any]) -> Call:
    """The call that a ``start`` message begins. Raises `InvalidRequest`, `Unauthenticated`."""
    start = _object(message.get("start"), "start")
    form = _object(start.get("mediaFormat", start.get("media_format", {})), "start.mediaFormat")
    given = _object(
        start.get("customParameters", start.get("custom_parameters", {})), "start.customParameters"
    )
    parameters = {
        _text("start.customParameters", name): _text(f"start.customParameters.{name}", value)
        for name, value in given.items()
        if name.startswith(PREFIX)
    }
    for name in parameters:
        if name not in _PARAMETERS and not name.startswith(LABEL):
            raise malformed(
                "start.customParameters", name[:64], f"one of {', '.join(_PARAMETERS)}, {LABEL}NAME"
            )
    encoding, silence = _choice(
        "start.mediaFormat.encoding", form, ("encoding",), _ENCODINGS, "audio/x-mulaw"
    )
    rate_hz = _number("start.mediaFormat.sampleRate", form.get("sampleRate", form.get("sample_rate", 8_000)))
    if _number("start.mediaFormat.channels", form.get("channels", 1)) != 1:
        raise malformed("start.mediaFormat.channels", str(form["channels"])[:16], "1: tracks come one by one")
    tracks = _choice(
        f"start.customParameters.{PREFIX}analyze", parameters, (f"{PREFIX}analyze",), _TRACKS, "inbound"
    )
    token = parameters.get(f"{PREFIX}token", "")
    config = pb.SessionConfig(
        session_id=_session_id(_first(start, _CALL_IDS)),
        audio=pb.AudioFormat(encoding=encoding, sample_rate_hz=rate_hz, channel_count=len(tracks)),
        channels=[
            pb.ChannelConfig(index=index, participant_id=name, subject_role=_ROLES[name], analyze=True)
            for index, name in enumerate(tracks)
        ],
        language_code=parameters.get(f"{PREFIX}language", ""),
        consent_basis=_consent(parameters),
        labels={
            name.removeprefix(LABEL): value for name, value in parameters.items() if name.startswith(LABEL)
        },
    )
    return Call(
        config=config,
        tracks=tracks,
        silence=silence,
        stream_id=(_first(message, _STREAM_IDS) or _first(start, _STREAM_IDS))[:128],
        events=_choice(
            f"start.customParameters.{PREFIX}events",
            parameters,
            (f"{PREFIX}events",),
            {name: name for name in _EVENTS},
            "none",  # a provider ends a stream that sends what is not its own, or warns of it
        ),
        token=admission.checked_token(token) if token else "",
    )


def _consent(parameters: dict[str, str]) -> pb.ConsentBasis.ValueType:
    known = {name.removeprefix("CONSENT_BASIS_").lower(): number for name, number in pb.ConsentBasis.items()}
    name = f"{PREFIX}consent"
    found: pb.ConsentBasis.ValueType = _choice(
        f"start.customParameters.{name}", parameters, (name,), known, "unspecified"
    )
    return found


def _session_id(call_id: str) -> str:
    """The provider's id of the call, if a session may have it; empty: the server makes one."""
    found = re.sub(r"[^A-Za-z0-9._-]", "-", call_id)
    return found if len(found) <= 64 else ""


def _object(found: object, path: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise malformed(path, "nothing" if found is None else "no object", "an object")
    return found


def _choice(
    path: str, holder: dict[str, Any], names: tuple[str, ...], known: dict[str, Any], usual: str
) -> Any:
    name = _first(holder, names) or usual
    if name.lower() not in known:
        raise malformed(path, repr(name[:32]), f"one of {', '.join(known)}")
    return known[name.lower()]


def _first(holder: dict[str, Any], names: tuple[str, ...]) -> str:
    return next((value for name in names if isinstance(value := holder.get(name), str) and value), "")


def _text(path: str, value: object) -> str:
    if not isinstance(value, str):
        raise malformed(path[:96], "no text", "text")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise malformed(path[:96], "half a character", "text") from None
    return value


def _number(path: str, value: object) -> int:
    text = str(value) if isinstance(value, int | str) and not isinstance(value, bool) else ""
    if not re.fullmatch(r"[0-9]{1,6}", text, re.ASCII):
        raise malformed(path, "no such number", "a whole number")
    return int(text)
