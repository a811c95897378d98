"""Receive: the order of messages, and what a session's configuration may say."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.errors import InvalidRequest, NotServed, Refused
from affectstream_server.settings import EndpointingSettings, Settings
from affectstream_server.stages import libopus
from affectstream_server.stages.decode import AudioFormat, Encoding
from affectstream_server.stages.segment import Endpointing

_SESSION_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_ENCODINGS: Final[dict[pb.AudioEncoding.ValueType, Encoding]] = {
    pb.AUDIO_ENCODING_LINEAR16: "LINEAR16",
    pb.AUDIO_ENCODING_FLOAT32: "FLOAT32",
    pb.AUDIO_ENCODING_MULAW: "MULAW",
    pb.AUDIO_ENCODING_ALAW: "ALAW",
    pb.AUDIO_ENCODING_OGG_OPUS: "OGG_OPUS",
    pb.AUDIO_ENCODING_OPUS_PACKETS: "OPUS_PACKETS",
}
_ONE_CHANNEL: Final = (pb.ChannelConfig(index=0, analyze=True),)
_BASES: Final = ", ".join(name.removeprefix("CONSENT_BASIS_") for name in pb.ConsentBasis.keys()[1:])
_LANGUAGE: Final = re.compile(r"([A-Za-z]{2,8}|[iIxX])(-[A-Za-z0-9]{1,8})*")
"""The form of a BCP 47 tag; whether somebody registered it is not looked up."""
_OPUS: Final = (pb.AUDIO_ENCODING_OGG_OPUS, pb.AUDIO_ENCODING_OPUS_PACKETS)


@dataclass(frozen=True, slots=True)
class Order:
    """Which message may come next. `advance` returns the next state or raises `InvalidRequest`."""

    configured: bool = False
    ended: bool = False

    @property
    def takes_audio(self) -> bool:
        """Audio may come next, and nothing changes by it."""
        return self.configured and not self.ended

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
    refused: tuple[int, ...]
    """Channels that were to be analysed and whose role forbids it."""
    mode: pb.EndpointingMode.ValueType
    endpointing: Endpointing
    embedding: bool
    cues: bool
    saliency: bool
    progress_interval_ms: int
    provisional_interval_ms: int
    """0: none."""
    labels: dict[str, str]

    def effective_outputs(self) -> pb.OutputConfig:
        outputs = pb.OutputConfig(
            embedding=self.embedding,
            cues=self.cues,
            saliency=self.saliency,
            progress_interval_ms=self.progress_interval_ms,
        )
        if self.provisional_interval_ms:
            outputs.provisional_interval_ms = self.provisional_interval_ms
        return outputs


def check_session_id(session_id: str, field: str) -> None:
    """Whether it can be one. Raises `InvalidRequest`."""
    if not _SESSION_ID.fullmatch(session_id):
        raise InvalidRequest(
            field, f"{len(session_id)} characters", f"1 to {LIMITS.session_id_bytes} of A-Z a-z 0-9 . _ -"
        )


def read_config(config: pb.SessionConfig, settings: Settings, model_names: tuple[str, ...]) -> StreamConfig:
    """Check a session's configuration. Raises `InvalidRequest`, `NotServed` or `Refused`."""
    if config.session_id:
        check_session_id(config.session_id, "config.session_id")
    check_model(config.model, model_names, "config.model")
    check_consent(config.consent_basis, settings, "config.consent_basis")
    audio = read_format(config.audio, "config.audio")
    channels, refused = _read_channels(config, audio.channel_count, settings)
    _check_outputs(config.outputs)
    return StreamConfig(
        session_id=config.session_id,
        format=audio,
        channels=channels,
        analysed=tuple(channel.index for channel in channels if channel.analyze),
        refused=refused,
        mode=config.endpointing.mode or pb.ENDPOINTING_MODE_SERVER,
        endpointing=read_endpointing(config.endpointing, settings),
        embedding=config.outputs.embedding,
        cues=config.outputs.cues,
        saliency=config.outputs.saliency,
        progress_interval_ms=(
            config.outputs.progress_interval_ms
            if config.outputs.HasField("progress_interval_ms")
            else settings.outputs.progress_interval_ms
        ),
        provisional_interval_ms=config.outputs.provisional_interval_ms,
        labels=_read_labels(config.labels),
    )


def check_model(name: str, known: tuple[str, ...], field: str) -> None:
    """Refuse a model that nobody has; empty is the server's choice."""
    if name and name not in known:
        raise InvalidRequest(field, name[:64], f"one of {', '.join(known)}", reason="UNKNOWN_MODEL")


def check_language(code: str, field: str) -> None:
    """Refuse what has not the form of a language tag; empty is not known. Raises `InvalidRequest`."""
    if len(code) > LIMITS.label_bytes:
        raise InvalidRequest(field, f"{len(code)} characters", f"a BCP 47 tag, at most {LIMITS.label_bytes}")
    if code and not _LANGUAGE.fullmatch(code):
        raise InvalidRequest(field, code, "a BCP 47 tag, such as en or zh-Hant-SG")


def check_consent(basis: pb.ConsentBasis.ValueType, settings: Settings, field: str) -> None:
    """Refuse without a consent basis where one is required, and one that nobody knows."""
    if basis not in pb.ConsentBasis.values():
        raise InvalidRequest(field, basis, "one of ConsentBasis")
    if settings.consent.required and basis == pb.CONSENT_BASIS_UNSPECIFIED:
        raise Refused(
            f"{field}: got none, this server needs one of {_BASES}",
            reason="CONSENT_REQUIRED",
            field=field,
            value="unset",
            limit=f"one of {_BASES}",
        )


def read_format(audio: pb.AudioFormat, field: str) -> AudioFormat:
    """Check an audio format. ``field`` is its place in the request, for the error."""
    encoding = _ENCODINGS.get(audio.encoding)
    if encoding is None:
        known = audio.encoding in pb.AudioEncoding.values()
        name = pb.AudioEncoding.Name(audio.encoding) if known else str(audio.encoding)
        served = ", ".join(_ENCODINGS[encoding] for encoding in served_encodings())
        raise InvalidRequest(f"{field}.encoding", name, f"one of {served}", reason="UNKNOWN_ENCODING")
    if audio.encoding in _OPUS:
        return _read_opus(audio, encoding, field)
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


def served_encodings() -> tuple[pb.AudioEncoding.ValueType, ...]:
    """What can be decoded here."""
    return tuple(encoding for encoding in _ENCODINGS if encoding not in _OPUS or libopus.installed())


def _read_opus(audio: pb.AudioFormat, encoding: Encoding, field: str) -> AudioFormat:
    if not libopus.installed():
        raise NotServed(
            f"{field}.encoding",
            encoding,
            instead=f"install the server with its extra {libopus.EXTRA}, or send PCM",
        )
    if audio.sample_rate_hz not in libopus.RATES_HZ:
        raise InvalidRequest(
            f"{field}.sample_rate_hz",
            audio.sample_rate_hz,
            f"one of {', '.join(map(str, libopus.RATES_HZ))} Hz for {encoding}",
            reason="BAD_SAMPLE_RATE",
        )
    count = audio.channel_count or 1
    if count > libopus.MAX_CHANNELS:
        raise InvalidRequest(
            f"{field}.channel_count",
            count,
            f"1 to {libopus.MAX_CHANNELS} for {encoding}",
            reason="BAD_CHANNEL_COUNT",
        )
    return AudioFormat(encoding, audio.sample_rate_hz, count)


def _read_channels(
    config: pb.SessionConfig, count: int, settings: Settings
) -> tuple[tuple[pb.ChannelConfig, ...], tuple[int, ...]]:
    """The channels, and the indices of those that are not analysed because of their role."""
    if not config.channels:
        if count > 1:
            raise InvalidRequest(
                "config.channels", "empty", f"which of the {count} channels to analyse", reason="NO_CHANNEL"
            )
        return _ONE_CHANNEL, ()
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
        seen.add(channel.index)
    if not any(channel.analyze for channel in config.channels):
        raise InvalidRequest("config.channels", "none with analyze", "one to analyse", reason="NO_CHANNEL")
    refused = tuple(c.index for c in config.channels if c.analyze and refused_role(c.subject_role, settings))
    channels = []
    for channel in config.channels:
        kept = pb.ChannelConfig()
        kept.CopyFrom(channel)
        kept.analyze = channel.analyze and channel.index not in refused
        channels.append(kept)
    if not any(channel.analyze for channel in channels):
        place = next(i for i, c in enumerate(config.channels) if c.index in refused)
        raise role_refusal(
            f"config.channels[{place}].subject_role", config.channels[place].subject_role, settings
        )
    return tuple(channels), refused


def refused_role(role: pb.SubjectRole.ValueType, settings: Settings) -> bool:
    """This server does not analyse people in this role."""
    known = role in pb.SubjectRole.values()
    return known and pb.SubjectRole.Name(role).removeprefix("SUBJECT_ROLE_") in settings.consent.refused_roles


def role_refusal(field: str, role: pb.SubjectRole.ValueType, settings: Settings) -> Refused:
    """The error that says so."""
    name = pb.SubjectRole.Name(role).removeprefix("SUBJECT_ROLE_")
    return Refused(
        f"{field}: affect of {name} subjects is not analysed by this server",
        reason="ROLE_REFUSED",
        field=field,
        value=name,
        limit=f"not {', '.join(settings.consent.refused_roles)}",
    )


def read_endpointing(config: pb.EndpointingConfig, settings: Settings) -> Endpointing:
    """Merge a stream's endpointing over the server's. Raises `InvalidRequest` or `NotServed`."""
    if config.mode not in pb.EndpointingMode.values():
        raise InvalidRequest("config.endpointing.mode", config.mode, "SERVER, CALLER or MIXED")
    policies = pb.HangoverPolicy.keys()
    if config.hangover_policy not in pb.HangoverPolicy.values():
        raise InvalidRequest(
            "config.endpointing.hangover_policy", config.hangover_policy, f"one of {', '.join(policies)}"
        )
    defaults = settings.endpointing
    asked: dict[str, float | str] = {}
    if config.hangover_policy != pb.HANGOVER_POLICY_UNSPECIFIED:
        policy = pb.HangoverPolicy.Name(config.hangover_policy)
        asked["hangover_policy"] = policy.removeprefix("HANGOVER_POLICY_")
    for name, info in type(defaults).model_fields.items():
        if name == "hangover_policy" or not config.HasField(name):  # type: ignore[arg-type] # the settings' names are the message's
            continue
        value = getattr(config, name)
        low, high, exclusive = _range_of(info.metadata)
        inside = low < value < high if exclusive else low <= value <= high
        if not inside:  # also NaN
            raise InvalidRequest(
                f"config.endpointing.{name}", value, f"{low} to {high}{' exclusive' if exclusive else ''}"
            )
        asked[name] = value
    merged = defaults.model_copy(update=asked) if asked else defaults
    if merged.silence_threshold > merged.speech_threshold:
        raise InvalidRequest(
            "config.endpointing.silence_threshold",
            merged.silence_threshold,
            f"at most speech_threshold ({merged.speech_threshold})",
        )
    return Endpointing.from_settings(merged)


def effective_endpointing(settings: EndpointingSettings) -> pb.EndpointingConfig:
    """What is in force, as a client is told."""
    return pb.EndpointingConfig(
        mode=pb.ENDPOINTING_MODE_SERVER,
        hangover_policy=pb.HangoverPolicy.Value(f"HANGOVER_POLICY_{settings.hangover_policy}"),
        **settings.model_dump(exclude={"hangover_policy"}),
    )


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


def _check_outputs(outputs: pb.OutputConfig) -> None:
    for name, low, high in (("progress_interval_ms", 100, 60_000), ("provisional_interval_ms", 250, 10_000)):
        value = getattr(outputs, name)
        if outputs.HasField(name) and not low <= value <= high:  # type: ignore[arg-type] # both are its fields
            raise InvalidRequest(f"config.outputs.{name}", value, f"{low} to {high}")


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
