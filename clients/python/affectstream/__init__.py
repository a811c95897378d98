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
    from affectstream.controls import SentControl
    from affectstream.enums import (
        AffectStatus,
        AudioEncoding,
        CloseReason,
        ConsentBasis,
        EndpointingMode,
        Feature,
        HangoverPolicy,
        SaliencyMethod,
        Stage,
        SubjectRole,
        Trigger,
        WatchStart,
    )
    from affectstream.errors import (
        AffectStreamError,
        ConnectError,
        ControlWithoutEffect,
        GaveUp,
        InvalidRequest,
        ResourceExhausted,
        ServerUnavailable,
        TimedOut,
    )
    from affectstream.events import (
        AffectEvent,
        ControlDone,
        Event,
        Gap,
        Progress,
        SessionClosed,
        SessionClosing,
        SessionStarted,
        SessionSummary,
        SpeechEnded,
        SpeechStarted,
        TurnAffect,
    )
    from affectstream.info import ServerInfo
    from affectstream.reconnect import Reconnect
    from affectstream.states import (
        AudioLost,
        Connected,
        Ended,
        LocalEvent,
        NewSession,
        Reconnecting,
        Resumed,
        SessionLost,
        State,
    )
    from affectstream.stream import AffectStream
    from affectstream.timeouts import Timeouts
    from affectstream.tls import Tls
    from affectstream.values import AudioTime
    from affectstream.watch import AffectWatch

__all__ = [
    "AffectClient",
    "AffectEvent",
    "AffectStatus",
    "AffectStream",
    "AffectStreamError",
    "AffectWatch",
    "AudioEncoding",
    "AudioFormat",
    "AudioLost",
    "AudioTime",
    "Channel",
    "CloseReason",
    "ConnectError",
    "Connected",
    "ConsentBasis",
    "ControlDone",
    "ControlWithoutEffect",
    "Ended",
    "Endpointing",
    "EndpointingMode",
    "Event",
    "Feature",
    "Gap",
    "GaveUp",
    "HangoverPolicy",
    "InvalidRequest",
    "LocalEvent",
    "NewSession",
    "Outputs",
    "Progress",
    "Reconnect",
    "Reconnecting",
    "ResourceExhausted",
    "Resumed",
    "SaliencyMethod",
    "SentControl",
    "ServerInfo",
    "ServerUnavailable",
    "SessionClosed",
    "SessionClosing",
    "SessionLost",
    "SessionStarted",
    "SessionSummary",
    "SpeechEnded",
    "SpeechStarted",
    "Stage",
    "State",
    "StreamConfig",
    "SubjectRole",
    "TimedOut",
    "Timeouts",
    "Tls",
    "Trigger",
    "TurnAffect",
    "WatchStart",
]

_HOMES = {
    "client": ("AffectClient",),
    "config": ("AudioFormat", "Channel", "Endpointing", "Outputs", "StreamConfig"),
    "controls": ("SentControl",),
    "enums": (
        "AffectStatus",
        "AudioEncoding",
        "CloseReason",
        "ConsentBasis",
        "EndpointingMode",
        "Feature",
        "HangoverPolicy",
        "SaliencyMethod",
        "Stage",
        "SubjectRole",
        "Trigger",
        "WatchStart",
    ),
    "errors": (
        "AffectStreamError",
        "ConnectError",
        "ControlWithoutEffect",
        "GaveUp",
        "InvalidRequest",
        "ResourceExhausted",
        "ServerUnavailable",
        "TimedOut",
    ),
    "events": (
        "AffectEvent",
        "ControlDone",
        "Event",
        "Gap",
        "Progress",
        "SessionClosed",
        "SessionClosing",
        "SessionStarted",
        "SessionSummary",
        "SpeechEnded",
        "SpeechStarted",
        "TurnAffect",
    ),
    "info": ("ServerInfo",),
    "reconnect": ("Reconnect",),
    "states": (
        "AudioLost",
        "Connected",
        "Ended",
        "LocalEvent",
        "NewSession",
        "Reconnecting",
        "Resumed",
        "SessionLost",
        "State",
    ),
    "stream": ("AffectStream",),
    "timeouts": ("Timeouts",),
    "tls": ("Tls",),
    "watch": ("AffectWatch",),
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
