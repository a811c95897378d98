"""Settings: a YAML file, then ``AFFECTSTREAM_*`` over it, into frozen typed values.

An environment variable names its section and key with two underscores between:
``AFFECTSTREAM_ENDPOINTING__HANGOVER_MS=320``. A key that does not exist, in the file or in the
environment, refuses to start and is named.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

import yaml
from pydantic import BeforeValidator, Field, ValidationError, model_validator
from pydantic_core import PydanticCustomError

from affectstream.contract import LIMITS
from affectstream.environment import CLIENT_ENV
from affectstream_server.section import YAML_FAULTS, Section, SettingsError
from affectstream_server.settings_access import AuthSettings, TlsSettings, exposed
from affectstream_server.settings_bus import BusSettings
from affectstream_server.settings_fusion import FusionSettings
from affectstream_server.settings_guidance import GuidanceSettings
from affectstream_server.settings_quotas import QuotaSettings, TenantName, TenantSettings
from affectstream_server.settings_telemetry import TelemetrySettings

__all__ = ["Settings", "SettingsError", "load"]

ENV_PREFIX = "AFFECTSTREAM_"
RESERVED_ENV = frozenset({"AFFECTSTREAM_AUDIO", "AFFECTSTREAM_CONFIG", "AFFECTSTREAM_SERVER", *CLIENT_ENV})
"""Variables with our prefix that are no settings: test speech, the file, and what a client connects with."""

_SECRET: Final = frozenset({"bus", "bus.url"})
"""Keys whose values no message shows."""


def _all_cores(value: Any) -> Any:
    if isinstance(value, str) and value != "auto" and not value.strip().isdecimal():
        raise PydanticCustomError(
            "processes", "expected a whole number, or auto for one a core that it may use"
        )
    return 0 if value == "auto" else value


AUTO_IS_ALL_CORES: Final = BeforeValidator(_all_cores)


class ServerSettings(Section):
    """The process and its socket."""

    address: str = Field("127.0.0.1:50551", description="HOST:PORT to listen on; port 0 takes a free one")
    processes: Annotated[int, AUTO_IS_ALL_CORES] = Field(
        1, ge=0, le=256, description="processes that serve the port; 0 or auto: one a core that it may use"
    )
    max_streams: int = Field(1_000, ge=1, le=100_000, description="streams served at once")
    max_analyses: int = Field(64, ge=1, le=10_000, description="AnalyzeUtterance calls served at once")
    ahead_rate: float = Field(
        40.0,
        ge=0,
        le=100_000,
        description="seconds of audio a second that comes faster than real time, while others talk; 0: any",
    )
    max_connections: int = Field(
        2_000, ge=1, le=100_000, description="connections at once; a further one is closed as it comes"
    )
    idle_connection_s: float = Field(
        60.0, ge=1, le=86_400, description="a connection without a call for so long is closed"
    )
    drain_s: float = Field(10.0, ge=0, le=600, description="time that open utterances get after SIGTERM")
    stream_age_s: float = Field(
        LIMITS.stream_age_ms / 1_000,
        ge=1,
        le=LIMITS.session_ms / 1_000,
        description="a stream ends after this; a resumable session goes on in another",
    )
    resume_s: float = Field(
        30.0, ge=0, le=3_600, description="how long a resumable session waits for another stream; 0: none may"
    )
    reuse_port: bool = Field(False, description="let several processes share the port")
    insecure: bool = Field(False, description="let other machines in without TLS, or without authentication")


class EndpointingSettings(Section):
    """How utterances are found; a stream may ask for other values within the same ranges."""

    speech_threshold: float = Field(0.5, gt=0, lt=1, description="a block counts as speech from here")
    silence_threshold: float = Field(
        0.35, gt=0, lt=1, description="a block of an open utterance is silence below"
    )
    min_speech_ms: int = Field(96, ge=0, le=1_000, description="speech before an utterance is declared")
    hangover_policy: Literal["ADAPTIVE", "FIXED"] = Field(
        "ADAPTIVE", description="shorter after a finished phrase, longer inside one; or always hangover_ms"
    )
    hangover_ms: int = Field(
        256, ge=32, le=5_000, description="silence after which the endpoint is declared; ADAPTIVE: usually"
    )
    pre_roll_ms: int = Field(96, ge=0, le=1_000, description="audio before the first speech block")
    post_roll_ms: int = Field(48, ge=0, le=1_000, description="audio after the last speech block")
    max_utterance_ms: int = Field(
        LIMITS.utterance_ms, ge=1_000, le=LIMITS.utterance_ms, description="longer utterances are cut"
    )
    min_utterance_ms: int = Field(250, ge=0, le=5_000, description="less speech is INSUFFICIENT_SPEECH")
    stall_ms: int = Field(500, ge=100, le=60_000, description="wall clock without audio that ends one")

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.silence_threshold > self.speech_threshold:
            raise ValueError(
                f"silence_threshold: got {self.silence_threshold}, "
                f"expected at most speech_threshold ({self.speech_threshold})"
            )
        return self


class DetectionSettings(Section):
    """The voice activity detector's batches."""

    tick_ms: float = Field(
        8.0,
        ge=0,
        le=100,
        description="between batches of blocks of all streams, at least",
    )
    max_batch: int = Field(64, ge=1, le=1_024, description="blocks in one call of the detector")


Emotion = Literal["neutral", "happy", "sad", "angry", "fearful", "disgusted", "surprised"]
Floor = Annotated[float, Field(ge=0, le=2)]


class ScoringSettings(Section):
    """The model that scores utterances."""

    model: str = Field("", description="folder of an embedded model; empty: the bundled one")
    threads: int = Field(1, ge=1, le=64, description="threads that score, one utterance each")
    max_pending: int = Field(256, ge=1, le=100_000, description="utterances waiting over all streams")
    max_pending_per_stream: int = Field(
        4, ge=1, le=64, description="a stream with more is not read from until one is scored"
    )
    deadline_ms: int = Field(5_000, ge=10, le=60_000, description="from the endpoint to the score")
    canary_s: float = Field(
        5.0, ge=0.1, le=300, description="without a score for this long the embedded model is not ready"
    )
    speculate: bool = Field(True, description="begin to score in the first silence, before the endpoint")
    speculate_every_ms: int = Field(
        250, ge=0, le=10_000, description="least audio between two scores of an open utterance"
    )
    optional_below: int = Field(
        4, ge=0, le=10_000, description="scores in flight from which speculative and provisional ones wait"
    )
    min_snr_db: float | None = Field(
        None, ge=-20, le=60, description="speech over noise below which a score is LOW_SNR; else the model's"
    )
    min_speech_ms: int | None = Field(
        None, ge=0, le=5_000, description="speech below which a score is ABSTAINED; else the model's"
    )
    min_probability: dict[Emotion, Floor] = Field(
        default_factory=dict,
        description="LABEL → probability below which it is ABSTAINED, above 1: always; else the model's",
    )
    user_outputs: tuple[str, ...] = Field(
        (), max_length=16, description="files of `affectstream-models probe`: outputs of your own"
    )


class TritonSettings(Section):
    """Models behind a Triton inference server in place of the embedded one."""

    address: str = Field("", description="HOST:PORT of Triton's gRPC; empty: the embedded model scores")
    model: str = Field("affect_embedded", description="NAME or NAME:VERSION; without one, the latest")
    models: tuple[str, ...] = Field((), description="more of them, for streams that ask by name or language")
    languages: dict[str, str] = Field(
        default_factory=dict, description="BCP 47 tag, or the start of one → NAME of the model that scores it"
    )
    max_in_flight: int = Field(64, ge=1, le=4_096, description="requests at Triton at once, of each model")
    retry_share: float = Field(0.1, ge=0, le=1, description="share of requests that may be made once more")
    canary_s: float = Field(5.0, ge=0.1, le=300, description="between looks at a model that serves")
    canary_timeout_ms: int = Field(2_000, ge=100, le=60_000, description="a look takes no longer")
    fallback: bool = Field(False, description="let the embedded model answer where Triton's cannot")

    @model_validator(mode="after")
    def _known(self) -> Self:
        host, _, port = self.address.rpartition(":")
        if self.address and not (host and port.isdecimal() and int(port) <= 65_535):
            raise ValueError(f"address: got {self.address!r}, expected HOST:PORT such as 127.0.0.1:8001")
        names = [wanted.partition(":")[0] for wanted in (self.model, *self.models)]
        if len(set(names)) < len(names):
            raise ValueError(f"models: got {', '.join(names)}, expected each model once")
        for tag, name in self.languages.items():
            if name not in names:
                raise ValueError(f"languages: got {name!r} for {tag}, expected one of {', '.join(names)}")
        return self


class OutputSettings(Section):
    """What streams get beside finals."""

    progress_interval_ms: int = Field(1_000, ge=100, le=60_000, description="audio between progress events")
    cues_wait_ms: int = Field(
        250, ge=0, le=5_000, description="a final whose score is there waits so long for its cues"
    )
    saliency_wait_ms: int = Field(
        500, ge=0, le=5_000, description="and so long for the spans on which the score rests"
    )


class AgentSpeechSettings(Section):
    """While the caller's agent speaks (agent_speech_started)."""

    min_speech_ms: int = Field(
        320, ge=0, le=2_000, description="speech before an utterance is declared: shorter is taken for echo"
    )


Role = Literal["CUSTOMER", "AGENT", "EMPLOYEE", "STUDENT", "OTHER"]


class ConsentSettings(Section):
    """Law and care."""

    required: bool = Field(False, description="refuse sessions without a consent basis")
    refused_roles: tuple[Role, ...] = Field(
        ("EMPLOYEE", "STUDENT"), description="roles that are not analysed: EU AI Act Art. 5(1)(f)"
    )
    transparency_notice: str = Field("", max_length=4_096, description="text for the people who are heard")


LogLevel = Literal["DEBUG", "INFO", "WARNING", "ERROR"]


class LoggingSettings(Section):
    """What the process says of itself, on stderr; never audio, never an emotion value."""

    level: LogLevel = Field("INFO", description="least severity that is written to stderr")
    format: Literal["text", "json"] = Field("text", description="text for people, or a JSON object a line")
    burst: int = Field(
        20,
        ge=0,
        le=1_000_000,
        description="records of one kind in 10 s; what is above is counted; 0: any number",
    )


class Settings(Section):
    """Everything that can be set."""

    server: ServerSettings = ServerSettings()
    tls: TlsSettings = TlsSettings()
    auth: AuthSettings = AuthSettings()
    endpointing: EndpointingSettings = EndpointingSettings()
    detection: DetectionSettings = DetectionSettings()
    scoring: ScoringSettings = ScoringSettings()
    triton: TritonSettings = TritonSettings()
    outputs: OutputSettings = OutputSettings()
    agent_speech: AgentSpeechSettings = AgentSpeechSettings()
    guidance: GuidanceSettings = GuidanceSettings()
    consent: ConsentSettings = ConsentSettings()
    quotas: QuotaSettings = QuotaSettings()
    tenants: dict[TenantName, TenantSettings] = Field(
        default_factory=dict, description="NAME → what this tenant may take, in place of what quotas says"
    )
    bus: BusSettings = BusSettings()
    fusion: FusionSettings = FusionSettings()
    telemetry: TelemetrySettings = TelemetrySettings()
    logging: LoggingSettings = LoggingSettings()

    @model_validator(mode="after")
    def _secure(self) -> Self:
        if not self.server.insecure and (why := exposed(self.server.address, self.tls, self.auth)):
            raise ValueError(f"server.address: {why}")
        return self


Layer = dict[str, Any]
PathLike = Annotated[Path | None, "None: no file"]


def load(
    path: PathLike = None, environ: Mapping[str, str] = os.environ, overrides: Layer | None = None
) -> Settings:
    """Merge file, environment and ``overrides`` (section → key → value), in rising precedence.

    Raises `SettingsError` for a file that cannot be read, an unknown key or a bad value.
    """
    merged: Layer = {}
    for layer in (_from_file(path), _from_environment(environ), overrides or {}):
        for section, values in layer.items():
            if isinstance(values, dict) and isinstance(merged.get(section), dict):
                merged[section] |= values
            else:
                merged[section] = dict(values) if isinstance(values, dict) else values
    try:
        return Settings.model_validate(merged)
    except ValidationError as error:
        raise SettingsError("\n".join(_explain(e) for e in error.errors(include_url=False))) from None


def _from_file(path: Path | None) -> Layer:
    if path is None:
        return {}
    try:
        content = _yaml(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path}: not valid YAML: no text in UTF-8") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"{path}: got a {type(content).__name__}, expected sections such as 'server:'")
    return content


def _yaml(text: str, name: str) -> Any:
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SettingsError(f"{name}: not valid YAML{where}") from None
    except YAML_FAULTS:
        raise SettingsError(f"{name}: not valid YAML: a value that is none of its kind") from None


def _from_environment(environ: Mapping[str, str]) -> Layer:
    layer: Layer = {}
    for name, text in environ.items():
        if not name.startswith(ENV_PREFIX) or name in RESERVED_ENV:
            continue
        section, separator, key = name[len(ENV_PREFIX) :].lower().partition("__")
        if not separator or section not in Settings.model_fields:
            raise SettingsError(
                f"{name}: unknown setting; expected {ENV_PREFIX}SECTION__KEY with a section of "
                + ", ".join(Settings.model_fields)
            )
        layer.setdefault(section, {})[key] = _yaml(text, name) if text.startswith(("[", "{")) else text
    return layer


def _explain(error: Any) -> str:
    key = ".".join(str(part) for part in error["loc"])
    match error["type"]:
        case "extra_forbidden":
            parent = Settings.model_fields.get(str(error["loc"][0])) if len(error["loc"]) > 1 else None
            fields = getattr(parent.annotation, "model_fields", {}) if parent else Settings.model_fields
            if error["loc"][0] == "tenants":
                fields = TenantSettings.model_fields
            return f"{key}: unknown setting; known here: {', '.join(fields)}"
        case "value_error":
            return ".".join(filter(None, (key, error["msg"].removeprefix("Value error, "))))
        case _:
            shown = "a value that is not shown" if key in _SECRET else repr(error["input"])
            return f"{key}: got {shown}: {error['msg']}"
