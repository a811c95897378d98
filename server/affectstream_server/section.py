"""What every section of the settings is made of."""

from __future__ import annotations

from typing import Any, Final

from pydantic import BaseModel, BeforeValidator, ConfigDict

YAML_FAULTS: Final = (ValueError, TypeError, LookupError, AttributeError, OverflowError, RecursionError)
"""What YAML's reader lets out beside its own: of 2026-13-45, `!!int x`, "\\UD800D800", many brackets."""


class SettingsError(Exception):
    """The settings cannot be used; the message names the key, its value and what is allowed."""


class Section(BaseModel):
    """Typed, frozen, finite; an unknown key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _word(value: Any) -> Any:
    return "off" if value is False else value


OFF_IS_A_WORD: Final = BeforeValidator(_word)
"""YAML reads a bare ``off`` as false."""
