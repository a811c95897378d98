"""What each tenant may take, as it can be set."""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from affectstream_server.auth.identity import TENANT_FORM, is_tenant
from affectstream_server.section import Section


class QuotaSettings(Section):
    """Of every tenant; 0: no limit of its own. See docs/tenants.md."""

    streams: int = Field(0, ge=0, le=100_000, description="streams at once")
    analyses: int = Field(0, ge=0, le=10_000, description="AnalyzeUtterance calls at once")
    audio_rate: float = Field(
        0, ge=0, le=1_000_000, description="seconds of audio a second, over the channels of all streams"
    )
    utterances_per_minute: int = Field(0, ge=0, le=100_000, description="utterances scored in any minute")
    weight: float = Field(1.0, ge=0.01, le=100, description="share of scoring where several wait")
    share: float = Field(
        0.8, gt=0, le=1, description="of server.max_streams and max_analyses: the most that one tenant gets"
    )


class TenantSettings(Section):
    """Of one tenant, in place of what `quotas` says; null: as there."""

    streams: int | None = Field(None, ge=0, le=100_000, description="streams at once")
    analyses: int | None = Field(None, ge=0, le=10_000, description="AnalyzeUtterance calls at once")
    audio_rate: float | None = Field(None, ge=0, le=1_000_000, description="seconds of audio a second")
    utterances_per_minute: int | None = Field(
        None, ge=0, le=100_000, description="utterances scored in any minute"
    )
    weight: float | None = Field(None, ge=0.01, le=100, description="share of scoring where several wait")


def _named(name: str) -> str:
    if not is_tenant(name):
        raise ValueError(f"got {name!r}, expected {TENANT_FORM}")
    return name


TenantName = Annotated[str, AfterValidator(_named)]
