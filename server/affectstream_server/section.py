"""What every section of the settings is made of."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class SettingsError(Exception):
    """The settings cannot be used; the message names the key, its value and what is allowed."""


class Section(BaseModel):
    """Typed, frozen, finite; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
