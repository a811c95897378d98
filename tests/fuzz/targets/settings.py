"""Settings: a file's bytes, and environment variables.

What comes after a line ``---env`` are variables, one a line.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from affectstream_server.settings import Settings, SettingsError, load
from tests.fuzz.objects import yaml_mutated
from tests.fuzz.oracle import Found, check_text, watched
from tests.fuzz.target import Run, Target

_DIVIDER = b"---env\n"


@contextmanager
def opened() -> Iterator[Run]:
    """What takes an input: settings that can be used, or an error that says in our words why not."""
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        file = Path(folder) / "settings.yaml"
        yield lambda data: _load(data, file)


def _load(data: bytes, file: Path) -> None:
    content, _, variables = data.partition(_DIVIDER)
    file.write_bytes(content)
    environ = {}
    for line in variables.split(b"\n"):
        name, separator, value = line.partition(b"=")
        if separator and b"\0" not in line:
            environ[os.fsdecode(name)] = os.fsdecode(value)
    with watched():
        try:
            settings = load(file, environ)
        except SettingsError as error:
            _check(str(error).replace(str(file), ""), data)
            return
        if not isinstance(settings, Settings):
            raise Found(f"settings of type {type(settings)}")
        # As `serve --check` prints them.
        yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _check(message: str, data: bytes) -> None:
    if not message.strip():
        raise Found("an error that says nothing")
    check_text(message.encode("utf-8", "replace").decode(), data)


def _words() -> tuple[str, ...]:
    found = set()
    for section, field in Settings.model_fields.items():
        found.add(f"{section}:")
        for key in getattr(field.annotation, "model_fields", {}):
            found |= {f"{key}: ", f"AFFECTSTREAM_{section}__{key}=".upper()}
    yaml_forms = (
        *("---env\n", "&a ", "*a", "<<: ", "!!int ", "!!float ", "!!timestamp ", "!!binary ", "!!set ", "? "),
        *("2026-13-45", ".nan", ".inf", "0x", "0b", "1:30", "{", "[", "- ", "null", "true", "off", "~"),
    )
    return (*sorted(found), *yaml_forms)


_SEEDS = {
    "sections": b"endpointing: {hangover_ms: 300}\nserver:\n  max_streams: 5\n  address: 127.0.0.1:0\n",
    "lists": b"consent: {refused_roles: [STUDENT]}\ntriton: {languages: {de: affect_embedded}}\n",
    "tenants": b"tenants:\n  a: {streams: 3}\nquotas: {audio_rate: 10}\n",
    "bus": b"bus: {url: 'redis://:hunter2@127.0.0.1:6379/0'}\n",
    "wrong": b"endpoint: {}\nendpointing: {hangover: 1, speech_threshold: .nan}\n",
    "environment": b"---env\nAFFECTSTREAM_CONSENT__REFUSED_ROLES=[STUDENT]\nAFFECTSTREAM_BUS__URL=x",
    "anchors": b"server: &a {max_streams: 3}\nendpointing: {<<: *a}\n",
}
_WORDS = _words()
TARGET = Target(
    opened=opened,
    seeds=_SEEDS,
    most_bytes=2 * 1024,
    words=_WORDS,
    mutate=yaml_mutated([word.strip(": ") for word in _WORDS]),
)
