"""The command line without a server: help, usage, and what is said when something is missing."""

from __future__ import annotations

import io
import json
import sys
from importlib import import_module, metadata
from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream import cli
from affectstream.commands import InputError, microphone
from affectstream.commands.info import server_text
from affectstream.commands.stream import chosen_channels, frame_ms, speed
from affectstream.info import ServerInfo
from affectstream.v1 import affect_pb2 as pb

NOWHERE = "127.0.0.1:1"


def fails(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Status and the one line that a failing command says."""
    try:
        status = cli.main(arguments)
    except SystemExit as error:
        status = int(error.code or 0)
    said = capsys.readouterr()
    assert said.out == ""
    return status, said.err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main(["--help"])
    assert done.value.code == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text and summary in text for name, summary in cli.COMMANDS.items())


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_every_command_has_help(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as done:
        cli.main([command, "--help"])
    assert done.value.code == 0
    assert f"usage: affectstream {command}" in capsys.readouterr().out


def test_exit_statuses_are_documented_where_they_are_looked_for(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["stream", "--help"])
    assert "Exit status: 0" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["--version"])
    assert capsys.readouterr().out == f"affectstream {metadata.version('affectstream')}\n"


@pytest.mark.parametrize(
    "arguments", [[], ["analyse"], ["stream"], ["stream", "x.wav", "--server", NOWHERE, "--x"]]
)
def test_wrong_usage_is_status_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    status, said = fails(capsys, *arguments)
    assert status == 2
    assert "usage: affectstream" in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.wav"], "cannot read missing.wav: no such file"),
        (["-"], "needs --rate"),
        (["-", "--rate", "96000"], "sample_rate_hz is 96000, the limit is 8000..48000"),
        (["-", "--rate", "16000", "--channels", "9"], "channel_count is 9, the limit is 1..8"),
        (["-", "--rate", "16000", "--channels", "0"], "channel_count is 0, the limit is 1..8"),
        (["-", "--rate", "16000", "--channels", "2"], "say which to analyse: --channel 0..1"),
        (["talk.wav", "--rate", "16000"], "a recording says them itself"),
        ([], 'give either a FILE ("-" for standard input) or --mic'),
        (["talk.wav", "--mic"], "give either"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    status, said = fails(capsys, "stream", *arguments, "--server", NOWHERE)
    assert status == 2
    assert said.startswith("affectstream stream: ")
    assert says in said
    assert said.count("\n") == 1


@pytest.mark.parametrize("text", ["-1", "nan", "inf", "fast"])
def test_a_speed_is_a_number_from_zero(capsys: pytest.CaptureFixture[str], text: str) -> None:
    status, said = fails(capsys, "stream", "x.wav", "--server", NOWHERE, f"--speed={text}")
    assert (status, "--speed" in said) == (2, True)
    assert speed("0") == 0
    assert speed("2.5") == 2.5


@pytest.mark.parametrize("text", ["9", "1001", "1.5"])
def test_a_frame_has_limits(capsys: pytest.CaptureFixture[str], text: str) -> None:
    status, said = fails(capsys, "stream", "x.wav", "--server", NOWHERE, "--frame-ms", text)
    assert (status, "--frame-ms" in said) == (2, True)
    assert frame_ms("100") == 100


def test_no_server_there_says_where_and_how_to_start_one(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "talk.wav"
    soundfile.write(path, np.zeros(1_600, np.int16), 16_000)
    status, said = fails(capsys, "stream", str(path), "--server", NOWHERE)
    assert status == 1
    assert said == (
        f"affectstream stream: no server at {NOWHERE}: connection refused; "
        "start one with: affectstream serve\n"
    )
    status, said = fails(capsys, "info", "--server", NOWHERE)
    assert (status, said) == (1, f"affectstream info: no server at {NOWHERE}: connection refused\n")


@pytest.mark.parametrize(
    ("module", "extra", "arguments"),
    [
        ("soundfile", "cli", ["stream", "talk.wav", "--server", NOWHERE]),
        ("sounddevice", "mic", ["stream", "--mic", "--server", NOWHERE]),
        ("matplotlib", "plot", ["demo"]),
        ("affectstream_server.__main__", "server", ["serve"]),
    ],
)
def test_a_missing_extra_is_named(
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
    extra: str,
    arguments: list[str],
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    status, said = fails(capsys, *arguments)
    assert status == 2
    assert f'pip install "affectstream[{extra}]"' in said
    assert said.count("\n") == 1


def test_without_portaudio_the_library_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def find_spec(self, name: str, *_: object) -> None:
            if name == "sounddevice":
                raise OSError("PortAudio library not found")

    monkeypatch.delitem(sys.modules, "sounddevice", raising=False)
    monkeypatch.setattr(sys, "meta_path", [Broken(), *sys.meta_path])
    with pytest.raises(InputError, match="libportaudio2"):
        microphone.Microphone(16_000)


def test_info_without_a_server_lists_every_extra(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["info"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(f"affectstream {metadata.version('affectstream')}, Python ")
    assert cli.main(["info", "--format", "json"]) == 0
    local = json.loads(capsys.readouterr().out)
    assert set(local["extras"]) == set(metadata.metadata("affectstream").get_all("Provides-Extra") or ())
    assert local["extras"]["cli"] == {"installed": True, "missing": []}
    assert all(name in text for name in local["extras"])


def test_info_names_what_an_extra_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    info = import_module("affectstream.commands.info")
    real = metadata.version

    def version(name: str) -> str:
        if name in {"rich", "matplotlib"}:
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    extras = info.local_info()["extras"]
    assert extras["cli"] == {"installed": False, "missing": ["rich"]}
    assert extras["plot"]["missing"] == ["matplotlib", "rich"], "plot includes cli"


def test_the_demo_says_that_it_needs_the_server(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    real = metadata.version

    def version(name: str) -> str:
        if name == "onnxruntime":
            raise metadata.PackageNotFoundError(name)
        return real(name)

    monkeypatch.setattr(metadata, "version", version)
    status, said = fails(capsys, "demo")
    assert status == 2
    assert said == (
        'affectstream demo: onnxruntime is not installed; it comes with: pip install "affectstream[server]"\n'
    )


def test_a_server_is_described_for_people() -> None:
    info = ServerInfo.from_proto(
        pb.GetServerInfoResponse(
            version="1.2.3",
            models=[pb.Model(name="m-1", version="9", labels=["neutral", "sad"], max_audio_ms=30_000)],
            encodings=[pb.AUDIO_ENCODING_LINEAR16, pb.AudioEncoding.ValueType(77)],
            min_sample_rate_hz=8_000,
            max_sample_rate_hz=48_000,
            max_channels=8,
            limits=pb.Limits(
                limits=[pb.Limit(name="chunk_ms", value=1_000, unit="ms", status="INVALID_ARGUMENT")]
            ),
            default_endpointing=pb.EndpointingConfig(pre_roll_ms=0, speech_threshold=0.5),
            features=[pb.FEATURE_STREAM, pb.FEATURE_CUES],
            consent_required=True,
            refused_roles=[pb.SUBJECT_ROLE_STUDENT],
            transparency_notice="Your voice is analysed.",
        )
    )
    text = server_text(info, "127.0.0.1:9")
    for part in (
        "Affectstream 1.2.3 at 127.0.0.1:9",
        "m-1 9 (default)",
        "neutral, sad",
        "LINEAR16, 77",
        "8,000 to 48,000 Hz",
        "CUES, STREAM",
        "STUDENT",
        "Your voice is analysed.",
    ):
        assert part in text
    rows = [" ".join(line.split()) for line in text.splitlines()]
    assert "chunk_ms 1,000 ms INVALID_ARGUMENT, ends the call" in rows
    assert "pre_roll_ms 0" in rows
    assert "consent basis required" in rows


def test_a_reader_that_goes_away_ends_the_command_quietly(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    class Gone(io.StringIO):
        def write(self, _text: str) -> int:
            raise BrokenPipeError

        def fileno(self) -> int:
            return 99

    monkeypatch.setattr(sys, "stdout", Gone())
    redirected: list[int] = []
    monkeypatch.setattr("os.dup2", lambda _new, old: redirected.append(old))
    assert cli.main(["info"]) == 1
    assert redirected == [99]
    assert capfd.readouterr().err == ""


def test_only_the_chosen_channels_are_analysed() -> None:
    assert chosen_channels(1, ()) == ()
    assert [(c.index, c.analyze) for c in chosen_channels(3, (1,))] == [(0, False), (1, True), (2, False)]
    assert [c.analyze for c in chosen_channels(2, (1, 0))] == [True, True]
