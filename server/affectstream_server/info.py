"""What the server says of itself: limits, defaults, features."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from affectstream.contract import LIMITS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server import __version__
from affectstream_server.guidance import OFF
from affectstream_server.quotas import Quota
from affectstream_server.scoring.scorer import ModelInfo
from affectstream_server.scoring.user_outputs import UserOutput
from affectstream_server.settings import Settings
from affectstream_server.stages import libopus
from affectstream_server.stages.decide import model_message
from affectstream_server.stages.receive import effective_endpointing, served_encodings

FEATURES: Final = (
    pb.FEATURE_STREAM,
    pb.FEATURE_ANALYZE_UTTERANCE,
    pb.FEATURE_EMBEDDING,
    pb.FEATURE_SUMMARY,
    pb.FEATURE_FLUSH,
    pb.FEATURE_CONSENT_WITHDRAWAL,
    pb.FEATURE_AUDIO_OFFSETS,
    pb.FEATURE_MULTIPLE_CHANNELS,
    pb.FEATURE_PAUSE,
    pb.FEATURE_AGENT_SPEECH,
    pb.FEATURE_TURNS,
    pb.FEATURE_SPECULATION,
    pb.FEATURE_PROVISIONAL,
    pb.FEATURE_CALLER_ENDPOINTING,
    pb.FEATURE_ADAPTIVE_HANGOVER,
    pb.FEATURE_RESUME,
    pb.FEATURE_CUES,
)

_LIMITS: Final = (
    ("metadata_bytes", "bytes", "RESOURCE_EXHAUSTED", False),
    ("message_bytes", "bytes", "RESOURCE_EXHAUSTED", False),
    ("chunk_ms", "ms", "INVALID_ARGUMENT", False),
    ("labels", "count", "INVALID_ARGUMENT", False),
    ("label_bytes", "bytes", "INVALID_ARGUMENT", False),
    ("session_id_bytes", "bytes", "INVALID_ARGUMENT", False),
    ("utterance_ms", "ms", "", True),
    ("analyze_ms", "ms", "INVALID_ARGUMENT", False),
    ("analyze_bytes", "bytes", "RESOURCE_EXHAUSTED", False),
    ("session_ms", "ms", "RESOURCE_EXHAUSTED", False),
    ("unread_audio_ms", "ms", "", True),
    ("event_queue_bytes", "bytes", "RESOURCE_EXHAUSTED", False),
    ("slow_reader_ms", "ms", "RESOURCE_EXHAUSTED", False),
    ("replay_bytes", "bytes", "", True),
    ("transcript_bytes", "bytes", "", True),
    ("watchers_per_session", "count", "RESOURCE_EXHAUSTED", True),
    ("min_sample_rate_hz", "Hz", "INVALID_ARGUMENT", False),
    ("max_sample_rate_hz", "Hz", "INVALID_ARGUMENT", False),
    ("max_channels", "count", "INVALID_ARGUMENT", False),
)
"""Name, unit, status when it is passed, whether the session goes on. Only limits that are enforced."""


_QUOTAS: Final = (
    ("streams", "count", 1, "RESOURCE_EXHAUSTED", False),
    ("analyses", "count", 1, "RESOURCE_EXHAUSTED", False),
    ("audio_rate", "ms/s", 1_000, "", True),
    ("utterances_per_minute", "1/min", 1, "", True),
)
"""As `_LIMITS`, and how many of the unit one is. Those of the caller's tenant."""


def limits_message(settings: Settings, quota: Quota) -> pb.Limits:
    """Every limit that this server enforces, those of the caller's tenant too."""
    limits = [
        pb.Limit(name=name, value=getattr(LIMITS, name), unit=unit, status=status, session_survives=survives)
        for name, unit, status, survives in _LIMITS
    ]
    limits.append(
        pb.Limit(
            name="connections", value=settings.server.max_connections, unit="count", status="UNAVAILABLE"
        )
    )
    limits.append(
        pb.Limit(name="streams", value=settings.server.max_streams, unit="count", status="RESOURCE_EXHAUSTED")
    )
    limits.append(
        pb.Limit(
            name="analyses",
            value=settings.server.max_analyses,
            unit="count",
            status="RESOURCE_EXHAUSTED",
        )
    )
    bus = settings.bus
    for name, value, unit, status in (
        ("watchers", bus.max_watchers, "count", "RESOURCE_EXHAUSTED"),
        ("retention_events", bus.retention_events, "count", "OUT_OF_RANGE"),
        ("retention_tenant_events", bus.tenant_events, "count", "OUT_OF_RANGE"),
        ("retention_ms", round(bus.retention_s * 1_000), "ms", "OUT_OF_RANGE"),
    ):
        limits.append(pb.Limit(name=name, value=value, unit=unit, status=status, session_survives=True))
    for name, seconds, survives in (
        ("stream_age_ms", settings.server.stream_age_s, True),
        ("resume_ms", settings.server.resume_s, False),
    ):
        limits.append(
            pb.Limit(
                name=name,
                value=round(seconds * 1_000),
                unit="ms",
                status="UNAVAILABLE" if survives else "NOT_FOUND",
                session_survives=survives,
            )
        )
    limits += [
        pb.Limit(
            name=f"tenant_{name}",
            value=round(value * scale),
            unit=unit,
            status=status,
            session_survives=survives,
        )
        for name, unit, scale, status, survives in _QUOTAS
        if (value := getattr(quota, name))
    ]
    return pb.Limits(limits=limits)


def server_info(
    settings: Settings, models: Sequence[ModelInfo], quota: Quota, user_outputs: Sequence[UserOutput] = ()
) -> pb.GetServerInfoResponse:
    """The answer of GetServerInfo. ``models``: those that are known, the default first.

    ``user_outputs``: those that belong to a model that answers.
    """
    return pb.GetServerInfoResponse(
        version=__version__,
        models=[model_message(model) for model in models],
        encodings=served_encodings(),
        min_sample_rate_hz=LIMITS.min_sample_rate_hz,
        max_sample_rate_hz=LIMITS.max_sample_rate_hz,
        max_channels=LIMITS.max_channels,
        limits=limits_message(settings, quota),
        default_endpointing=effective_endpointing(settings.endpointing),
        default_outputs=pb.OutputConfig(progress_interval_ms=settings.outputs.progress_interval_ms),
        features=[
            *FEATURES,
            *([pb.FEATURE_OPUS] if libopus.installed() else []),
            pb.FEATURE_SALIENCY,
            *([pb.FEATURE_WATCH] if settings.bus.on else []),
            *([pb.FEATURE_USER_OUTPUTS] if user_outputs else []),
            *([pb.FEATURE_TRANSCRIPT_FUSION] if settings.fusion.text != "off" else []),
            *([pb.FEATURE_GUIDANCE] if settings.guidance.policy != OFF else []),
        ],
        transparency_notice=settings.consent.transparency_notice,
        consent_required=settings.consent.required,
        refused_roles=[
            pb.SubjectRole.Value(f"SUBJECT_ROLE_{role}") for role in settings.consent.refused_roles
        ],
        user_outputs=[
            pb.UserOutputInfo(
                name=output.name,
                labels=output.labels,
                clips=output.clips,
                cross_validated_uar=output.uar,
                digest=output.digest,
            )
            for output in user_outputs
        ],
    )
