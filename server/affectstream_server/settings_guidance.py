"""Settings of the advice that events carry."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from affectstream_server.section import OFF_IS_A_WORD, Section


class GuidanceSettings(Section):
    """What finals and turns say to whoever writes the reply."""

    policy: Annotated[str, OFF_IS_A_WORD] = Field(
        "default",
        min_length=1,
        description="YAML file of a tone policy; default or sensitive: those that come along; off: none",
    )
