"""Settings of the advice that events carry."""

from __future__ import annotations

from pydantic import Field

from affectstream_server.section import Section


class GuidanceSettings(Section):
    """What finals and turns say to whoever writes the reply."""

    policy: str = Field(
        "default",
        min_length=1,
        description="YAML file of a tone policy; default or sensitive: those that come along; off: none",
    )
