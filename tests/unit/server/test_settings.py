"""Settings: what is unknown or out of range refuses to start, and is named."""

from __future__ import annotations

from pathlib import Path

import pytest

from affectstream_server.settings import Settings, SettingsError, load


def write(folder: Path, text: str) -> Path:
    file = folder / "settings.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def test_defaults_serve_on_loopback_only() -> None:
    assert load(environ={}).server.address.startswith("127.0.0.1:")


def test_environment_wins_over_file_and_options_over_both(tmp_path: Path) -> None:
    file = write(tmp_path, "endpointing: {hangover_ms: 300, stall_ms: 400}\nserver: {max_streams: 5}")
    settings = load(
        file,
        {"AFFECTSTREAM_ENDPOINTING__STALL_MS": "450", "AFFECTSTREAM_SERVER__MAX_STREAMS": "6"},
        {"server": {"max_streams": 7}},
    )
    assert settings.endpointing.hangover_ms == 300
    assert settings.endpointing.stall_ms == 450
    assert settings.server.max_streams == 7


def test_lists_come_from_the_environment_too() -> None:
    settings = load(environ={"AFFECTSTREAM_CONSENT__REFUSED_ROLES": "[STUDENT]"})
    assert settings.consent.refused_roles == ("STUDENT",)


@pytest.mark.parametrize("off", ["off", "'off'"])
def test_what_can_be_switched_off_is_so_in_a_file(tmp_path: Path, off: str) -> None:
    settings = load(write(tmp_path, f"guidance: {{policy: {off}}}\nfusion: {{text: {off}}}"), {})
    assert (settings.guidance.policy, settings.fusion.text) == ("off", "off")


@pytest.mark.parametrize("name", ["AUDIO", "CONFIG", "SERVER", "CA", "CERT", "KEY", "TOKEN", "TOKEN_FILE"])
def test_variables_that_are_no_settings_are_left_alone(name: str) -> None:
    assert load(environ={f"AFFECTSTREAM_{name}": "x", "PATH": "/bin"}) == Settings()


def test_an_empty_variable_is_an_empty_value() -> None:
    assert load(environ={"AFFECTSTREAM_TLS__CERT_FILE": ""}) == Settings()


@pytest.mark.fault("settings typo")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("endpoint: {}", ["endpoint", "unknown setting", "endpointing"]),
        ("endpointing: {hangover: 1}", ["endpointing.hangover", "unknown setting", "hangover_ms"]),
        ("endpointing: {hangover_ms: 31}", ["endpointing.hangover_ms", "31", "32"]),
        ("endpointing: {hangover_ms: soon}", ["endpointing.hangover_ms", "'soon'"]),
        ("endpointing: {speech_threshold: .nan}", ["endpointing.speech_threshold", "nan"]),
        ("endpointing: {silence_threshold: 0.9}", ["silence_threshold", "0.9", "speech_threshold"]),
        ("consent: {refused_roles: [BOSS]}", ["consent.refused_roles", "'BOSS'"]),
        ("- a\n- b", ["list", "sections"]),
        ("server: [", ["not valid YAML", "line"]),
        ("server: 2026-13-45", ["not valid YAML", "a value that is none of its kind"]),
        (r'server: "\UD800D800"', ["not valid YAML", "a value that is none of its kind"]),
        ("server: {max_streams: !!int x}", ["not valid YAML"]),
        ("server: {insecure: !!bool x}", ["not valid YAML"]),
        ("[" * 1_000, ["not valid YAML"]),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        load(write(tmp_path, text), {})
    for word in words:
        assert word in str(caught.value)


@pytest.mark.fault("settings typo")
@pytest.mark.parametrize(
    "name", ["AFFECTSTREAM_HANGOVER_MS", "AFFECTSTREAM_ENDPOINTING__HANGOVER", "AFFECTSTREAM_SEVER__ADDRESS"]
)
def test_misspelt_variables_refuse_to_start(name: str) -> None:
    with pytest.raises(SettingsError, match="unknown setting"):
        load(environ={name: "300"})


def test_a_list_in_a_variable_that_does_not_end_is_named() -> None:
    with pytest.raises(SettingsError, match="AFFECTSTREAM_CONSENT__REFUSED_ROLES: not valid YAML at line 1"):
        load(environ={"AFFECTSTREAM_CONSENT__REFUSED_ROLES": "[STUDENT"})


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml: cannot be read"):
        load(tmp_path / "nowhere.yaml", {})


def test_settings_do_not_change() -> None:
    with pytest.raises(ValueError, match="frozen"):
        load(environ={}).server.max_streams = 3  # type: ignore[misc] # that is the point
