"""What a server is: models, accepted audio, limits, defaults, features."""

from __future__ import annotations

from dataclasses import dataclass, field

from affectstream.config import Endpointing, Outputs
from affectstream.decode import model_info, user_output_info
from affectstream.enums import AudioEncoding, Feature, SubjectRole, known
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import ModelInfo, UserOutputInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """What happens at a limit."""

    name: str
    value: int
    unit: str
    """Such as ``"ms"``, ``"bytes"``, ``"count"``, ``"Hz"``."""
    status: str
    """gRPC status when it is passed, such as ``"INVALID_ARGUMENT"``; empty: only a warning or a cut."""
    session_survives: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerInfo:
    """The answer of `AffectClient.server_info`."""

    version: str
    models: tuple[ModelInfo, ...]
    """The first is the default."""
    encodings: tuple[AudioEncoding | int, ...]
    min_sample_rate_hz: int
    max_sample_rate_hz: int
    max_channels: int
    limits: tuple[Limit, ...]
    default_endpointing: Endpointing
    default_outputs: Outputs
    features: frozenset[Feature | int]
    transparency_notice: str
    """Text to show to people whose voice is analysed; empty: none is set."""
    consent_required: bool
    refused_roles: tuple[SubjectRole | int, ...]
    user_outputs: tuple[UserOutputInfo, ...]
    """What users taught this server; each event has what they say as `AffectEvent.user_outputs`."""
    proto: pb.GetServerInfoResponse = field(repr=False, compare=False)
    """The message as it came."""

    @classmethod
    def from_proto(cls, m: pb.GetServerInfoResponse) -> ServerInfo:
        """The same from a message."""
        return cls(
            version=m.version,
            models=tuple(model_info(model) for model in m.models),
            encodings=tuple(known(AudioEncoding, value) for value in m.encodings),
            min_sample_rate_hz=m.min_sample_rate_hz,
            max_sample_rate_hz=m.max_sample_rate_hz,
            max_channels=m.max_channels,
            limits=tuple(
                Limit(
                    name=limit.name,
                    value=limit.value,
                    unit=limit.unit,
                    status=limit.status,
                    session_survives=limit.session_survives,
                )
                for limit in m.limits.limits
            ),
            default_endpointing=Endpointing.from_proto(m.default_endpointing),
            default_outputs=Outputs.from_proto(m.default_outputs),
            features=frozenset(known(Feature, value) for value in m.features),
            transparency_notice=m.transparency_notice,
            consent_required=m.consent_required,
            refused_roles=tuple(known(SubjectRole, value) for value in m.refused_roles),
            user_outputs=tuple(user_output_info(output) for output in m.user_outputs),
            proto=m,
        )
