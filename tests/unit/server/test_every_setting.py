"""Every setting there is, misspelt: nothing starts, and the key is named."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from affectstream_server.section import Section
from affectstream_server.settings import Settings, SettingsError, load

KEYS = [
    (name, key)
    for name, info in Settings.model_fields.items()
    if isinstance(info.annotation, type) and issubclass(info.annotation, Section)
    for key in info.annotation.model_fields
]


def misspelt(word: str) -> list[str]:
    """A letter left out, one too many, and two in the wrong order."""
    middle = len(word) // 2
    swapped = word[: middle - 1] + word[middle] + word[middle - 1] + word[middle + 1 :]
    return [word[:middle] + word[middle + 1 :], f"{word}s", *([swapped] if swapped != word else [])]


@pytest.mark.fault("settings typo")
def test_every_key_and_section_is_refused_when_it_is_misspelt(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    tried = {(section, wrong) for section, key in KEYS for wrong in misspelt(key)}
    tried |= {(wrong, "x") for section in Settings.model_fields for wrong in misspelt(section)}
    known = {*KEYS, *((section, "x") for section in Settings.model_fields)}
    for section, key in sorted(tried - known):
        named = f"{section}.{key}" if section in Settings.model_fields else section
        file.write_text(yaml.safe_dump({section: {key: 1}}), encoding="utf-8")
        with pytest.raises(SettingsError) as caught:
            load(file, {})
        assert named in str(caught.value)
        with pytest.raises(SettingsError) as caught:
            load(environ={f"AFFECTSTREAM_{section}__{key}".upper(): "1"})
        assert key in str(caught.value) or section in str(caught.value)
    assert len(KEYS) > 50
