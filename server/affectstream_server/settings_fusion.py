"""Settings of what was said, weighed in beside how it was said."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from affectstream_server.section import OFF_IS_A_WORD, Section


class FusionSettings(Section):
    """Transcripts that callers send with a stream's controls."""

    text: Annotated[Literal["off", "lexicon"], OFF_IS_A_WORD] = Field(
        "off",
        description="lexicon: English words by VADER's valence (extra `fusion`); off: refuse transcripts",
    )
    wait_ms: int = Field(
        0, ge=0, le=2_000, description="how long a final may wait for its words; 0: only what has come"
    )
