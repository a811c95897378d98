"""Affectstream: hear how something was said.

The names below are loaded when they are first used, so that `affectstream.contract` alone costs nothing.
Those that are used less often live in `affectstream.errors`, `affectstream.events`, `affectstream.values`.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from affectstream.client import AffectClient
    from affectstream.config import (
        AudioFormat,
        Channel,
        Endpointing,
        Outputs,
        StreamConfig,
    )
    from affectstream.enums import (
        AffectStatus,
        AudioEncoding,
        CloseReason,
        ConsentBasis,
        Feature,
        Stage,
        SubjectRole,
        Trigger,
    )
    from affectstream.errors import (
        AffectStreamError,
        ConnectError,
        InvalidRequest,
        ResourceExhausted,
        ServerUnavailable,
        TimedOut,
    )
    from affectstream.events import (
        AffectEvent,
        Event,
        Gap,
        Progress,
        SessionClosed,
        SessionClosing,
        SessionStarted,
        SessionSummary,
        SpeechEnded,
        SpeechStarted,
    )
    from affectstream.info import ServerInfo
    from affectstream.stream import AffectStream
    from affectstream.timeouts import Timeouts
    from affectstream.values import AudioTime

__all__ = [
    "AffectClient",
    "AffectEvent",
    "AffectStatus",
    "AffectStream",
    "AffectStreamError",
    "AudioEncoding",
    "AudioFormat",
    "AudioTime",
    "Channel",
    "CloseReason",
    "ConnectError",
    "ConsentBasis",
    "Endpointing",
    "Event",
    "Feature",
    "Gap",
    "InvalidRequest",
    "Outputs",
    "Progress",
    "ResourceExhausted",
    "ServerInfo",
    "ServerUnavailable",
    "SessionClosed",
    "SessionClosing",
    "SessionStarted",
    "SessionSummary",
    "SpeechEnded",
    "SpeechStarted",
    "Stage",
    "StreamConfig",
    "SubjectRole",
    "TimedOut",
    "Timeouts",
    "Trigger",
]

_HOMES = {
    "client": ("AffectClient",),
    "config": ("AudioFormat", "Channel", "Endpointing", "Outputs", "StreamConfig"),
    "enums": (
        "AffectStatus",
        "AudioEncoding",
        "CloseReason",
        "ConsentBasis",
        "Feature",
        "Stage",
        "SubjectRole",
        "Trigger",
    ),
    "errors": (
        "AffectStreamError",
        "ConnectError",
        "InvalidRequest",
        "ResourceExhausted",
        "ServerUnavailable",
        "TimedOut",
    ),
    "events": (
        "AffectEvent",
        "Event",
        "Gap",
        "Progress",
        "SessionClosed",
        "SessionClosing",
        "SessionStarted",
        "SessionSummary",
        "SpeechEnded",
        "SpeechStarted",
    ),
    "info": ("ServerInfo",),
    "stream": ("AffectStream",),
    "timeouts": ("Timeouts",),
    "values": ("AudioTime",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    home = _HOME_OF.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"affectstream.{home}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
