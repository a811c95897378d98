"""Receive: the order of messages, and what a session's configuration may say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import InvalidRequest, NotServed, Refused
from affectstream_server.settings import Settings
from affectstream_server.stages.decode import AudioFormat, Encoding
from affectstream_server.stages.segment import Endpointing

_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENCODINGS: Final[dict[pb.AudioEncoding.ValueType, Encoding]] = {
    pb.AUDIO_ENCODING_LINEAR16: "LINEAR16",
    pb.AUDIO_ENCODING_FLOAT32: "FLOAT32",
    pb.AUDIO_ENCODING_MULAW: "MULAW",
    pb.AUDIO_ENCODING_ALAW: "ALAW",
}
SERVED_ENCODINGS = tuple(_ENCODINGS)


@dataclass(frozen=True, slots=True)
class Order:
    """Which message may come next. `advance` returns the next state or raises `InvalidRequest`."""

    configured: bool = False
    ended: bool = False

    def advance(self, request: pb.StreamAffectRequest) -> Order:
        kind = request.WhichOneof("request")
        if kind is None:
            raise InvalidRequest(
                "request", "nothing set", "one of config, audio, control", reason="EMPTY_REQUEST"
            )
        if self.ended:
            raise InvalidRequest(
                "request", kind, "nothing after control.end_of_audio", reason="MESSAGE_AFTER_END"
            )
        if not self.configured:
            if kind != "config":
                raise InvalidRequest(
                    "request", kind, "config as the first message", reason="CONFIG_MUST_BE_FIRST"
                )
            return replace(self, configured=True)
        if kind == "config":
            raise InvalidRequest(
                "request", "a second config", "exactly one config a stream", reason="SECOND_CONFIG"
            )
        if kind == "control":
            control = request.control.WhichOneof("control")
            if control is None:
                raise InvalidRequest("control.control", "nothing set", "one control", reason="EMPTY_CONTROL")
            if control == "end_of_audio":
                return replace(self, ended=True)
        return self


@dataclass(frozen=True, slots=True)
class StreamConfig:
    """A session's configuration after every check, with every default filled in."""

    session_id: str
    """Empty: the server makes one."""
    format: AudioFormat
    channels: tuple[pb.ChannelConfig, ...]
    analysed: tuple[int, ...]
    endpointing: Endpointing
    embedding: bool
    progress_interval_ms: int
    labels: dict[str, str]

    def effective_outputs(self) -> pb.OutputConfig:
        return pb.OutputConfig(embedding=self.embedding, progress_interval_ms=self.progress_interval_ms)


def read_config(config: pb.SessionConfig, settings: Settings, model_names: tuple[str, ...]) -> StreamConfig:
    """Check a session's configuration. Raises `InvalidRequest`, `NotServed` or `Refused`."""
    if config.HasField("resume"):
        raise NotServed("config.resume", "continuing a session", instead="start a new session")
    if config.session_id and not _SESSION_ID.fullmatch(config.session_id):
        raise InvalidRequest(
            "config.session_id",
            f"{len(config.session_id)} characters",
            f"1 to {LIMITS.session_id_bytes} of A-Z a-z 0-9 . _ -",
        )
    if config.model and config.model not in model_names:
        raise InvalidRequest(
            "config.model", config.model[:64], f"one of {', '.join(model_names)}", reason="UNKNOWN_MODEL"
        )
    if settings.consent.required and config.consent_basis == pb.CONSENT_BASIS_UNSPECIFIED:
        raise Refused(
            "config.consent_basis: this server needs a consent basis",
            reason="CONSENT_REQUIRED",
            field="config.consent_basis",
            value="unset",
            limit="a consent basis",
        )
    audio = read_format(config.audio, "config.audio")
    channels = _read_channels(config, audio.channel_count, settings)
    return StreamConfig(
        session_id=config.session_id,
        format=audio,
        channels=channels,
        analysed=tuple(channel.index for channel in channels if channel.analyze),
        endpointing=read_endpointing(config.endpointing, settings),
        embedding=config.outputs.embedding,
        progress_interval_ms=_read_outputs(config.outputs, settings),
        labels=_read_labels(config.labels),
    )


def read_format(audio: pb.AudioFormat, field: str) -> AudioFormat:
    """Check an audio format. ``field`` is its place in the request, for the error."""
    encoding = _ENCODINGS.get(audio.encoding)
    if encoding is None:
        known = audio.encoding in pb.AudioEncoding.values()
        name = pb.AudioEncoding.Name(audio.encoding) if known else str(audio.encoding)
        served = ", ".join(_ENCODINGS.values())
        if known and audio.encoding != pb.AUDIO_ENCODING_UNSPECIFIED:
            raise NotServed(f"{field}.encoding", name, instead=f"send one of {served}")
        raise InvalidRequest(f"{field}.encoding", name, f"one of {served}", reason="UNKNOWN_ENCODING")
    low, high = LIMITS.min_sample_rate_hz, LIMITS.max_sample_rate_hz
    if not low <= audio.sample_rate_hz <= high:
        raise InvalidRequest(
            f"{field}.sample_rate_hz", audio.sample_rate_hz, f"{low} to {high} Hz", reason="BAD_SAMPLE_RATE"
        )
    count = audio.channel_count or 1
    if count > LIMITS.max_channels:
        raise InvalidRequest(
            f"{field}.channel_count", count, f"1 to {LIMITS.max_channels}", reason="BAD_CHANNEL_COUNT"
        )
    return AudioFormat(encoding, audio.sample_rate_hz, count)


def _read_channels(config: pb.SessionConfig, count: int, settings: Settings) -> tuple[pb.ChannelConfig, ...]:
    if not config.channels:
        if count > 1:
            raise InvalidRequest(
                "config.channels", "empty", f"which of the {count} channels to analyse", reason="NO_CHANNEL"
            )
        return (pb.ChannelConfig(index=0, analyze=True),)
    seen: set[int] = set()
    for place, channel in enumerate(config.channels):
        field = f"config.channels[{place}]"
        if channel.index >= count:
            raise InvalidRequest(
                f"{field}.index", channel.index, f"0 to {count - 1}", reason="NO_SUCH_CHANNEL"
            )
        if channel.index in seen:
            raise InvalidRequest(f"{field}.index", channel.index, "each channel once", reason="CHANNEL_TWICE")
        if len(channel.participant_id.encode()) > LIMITS.label_bytes:
            raise InvalidRequest(
                f"{field}.participant_id",
                f"{len(channel.participant_id.encode())} bytes",
                f"at most {LIMITS.label_bytes} bytes",
            )
        _check_role(channel, f"{field}.subject_role", settings)
        seen.add(channel.index)
    analysed = sum(channel.analyze for channel in config.channels)
    if analysed == 0:
        raise InvalidRequest("config.channels", "none with analyze", "one to analyse", reason="NO_CHANNEL")
    if analysed > 1:
        raise NotServed("config.channels", f"{analysed} analysed channels", instead="analyse one a stream")
    return tuple(config.channels)


def _check_role(channel: pb.ChannelConfig, field: str, settings: Settings) -> None:
    if not channel.analyze or channel.subject_role not in pb.SubjectRole.values():
        return
    role = pb.SubjectRole.Name(channel.subject_role).removeprefix("SUBJECT_ROLE_")
    if role in settings.consent.refused_roles:
        raise Refused(
            f"{field}: affect of {role} subjects is not analysed by this server",
            reason="ROLE_REFUSED",
            field=field,
            value=role,
            limit=f"not {', '.join(settings.consent.refused_roles)}",
        )


def read_endpointing(config: pb.EndpointingConfig, settings: Settings) -> Endpointing:
    """Merge a stream's endpointing over the server's. Raises `InvalidRequest` or `NotServed`."""
    if config.mode not in (pb.ENDPOINTING_MODE_UNSPECIFIED, pb.ENDPOINTING_MODE_SERVER):
        raise NotServed("config.endpointing.mode", config.mode, instead="use ENDPOINTING_MODE_SERVER")
    if config.hangover_policy not in (pb.HANGOVER_POLICY_UNSPECIFIED, pb.HANGOVER_POLICY_FIXED):
        raise NotServed(
            "config.endpointing.hangover_policy", config.hangover_policy, instead="use HANGOVER_POLICY_FIXED"
        )
    defaults = settings.endpointing
    asked: dict[str, float] = {}
    for name, info in type(defaults).model_fields.items():
        if not config.HasField(name):  # type: ignore[arg-type] # the settings' names are the message's
            continue
        value = getattr(config, name)
        low, high, exclusive = _range_of(info.metadata)
        inside = low < value < high if exclusive else low <= value <= high
        if not inside:  # also NaN
            raise InvalidRequest(
                f"config.endpointing.{name}", value, f"{low} to {high}{' exclusive' if exclusive else ''}"
            )
        asked[name] = value
    merged = defaults.model_copy(update=asked)
    if merged.silence_threshold > merged.speech_threshold:
        raise InvalidRequest(
            "config.endpointing.silence_threshold",
            merged.silence_threshold,
            f"at most speech_threshold ({merged.speech_threshold})",
        )
    return Endpointing.from_settings(merged)


def _range_of(metadata: list[object]) -> tuple[float, float, bool]:
    bounds = {
        name: getattr(m, name) for m in metadata for name in ("ge", "gt", "le", "lt") if hasattr(m, name)
    }
    exclusive = "gt" in bounds
    return (
        bounds["gt" if exclusive else "ge"],
        bounds["lt" if exclusive else "le"],
        exclusive,
    )


def _read_outputs(outputs: pb.OutputConfig, settings: Settings) -> int:
    if outputs.HasField("provisional_interval_ms"):
        raise NotServed(
            "config.outputs.provisional_interval_ms", "provisional events", instead="leave it unset"
        )
    if outputs.cues:
        raise NotServed("config.outputs.cues", "cues", instead="leave it false")
    if not outputs.HasField("progress_interval_ms"):
        return settings.outputs.progress_interval_ms
    if not 100 <= outputs.progress_interval_ms <= 60_000:
        raise InvalidRequest(
            "config.outputs.progress_interval_ms", outputs.progress_interval_ms, "100 to 60000"
        )
    return outputs.progress_interval_ms


def _read_labels(labels: object) -> dict[str, str]:
    pairs: dict[str, str] = dict(labels)  # type: ignore[call-overload] # a protobuf map
    if len(pairs) > LIMITS.labels:
        raise InvalidRequest("config.labels", f"{len(pairs)} labels", f"at most {LIMITS.labels}")
    for key, value in pairs.items():
        longest = max(len(key.encode()), len(value.encode()))
        if longest > LIMITS.label_bytes:
            raise InvalidRequest(
                f"config.labels[{key[:16]}]", f"{longest} bytes", f"at most {LIMITS.label_bytes} bytes"
            )
    return pairs
