"""The tokens file, and the command that writes it."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from affectstream_server.auth import Identity, tokens
from affectstream_server.auth.refusal import Cause, NotAccepted
from affectstream_server.reload import Reloaded, read_bytes
from affectstream_server.section import SettingsError

SHA = "ab" * 32


def cause_of(known: tokens.Tokens, secret: str) -> Cause:
    with pytest.raises(NotAccepted) as refused:
        known.identify(secret)
    return refused.value.cause


@pytest.mark.fault("token")
def test_a_secret_is_known_by_its_hash_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    secret, line = tokens.make("acme", "agent-1", None)
    file.write_text(line)
    assert secret not in line
    known = tokens.read(str(file))
    assert known.identify(secret) == Identity("acme", "agent-1")
    assert cause_of(known, secret + "x") is Cause.UNKNOWN
    assert cause_of(known, yaml.safe_load(line)[0]["sha256"]) is Cause.UNKNOWN


def test_no_secret_is_made_twice_and_each_has_256_bits() -> None:
    made = {tokens.make("a", "b", None)[0] for _ in range(100)}
    assert len(made) == 100
    assert all(secret.startswith(tokens.PREFIX) and len(secret) == len(tokens.PREFIX) + 43 for secret in made)


@pytest.mark.fault("token")
def test_it_expires_to_the_second() -> None:
    secret, line = tokens.make("acme", "agent-1", datetime(2030, 1, 1, tzinfo=UTC))
    now = datetime(2030, 1, 1, tzinfo=UTC).timestamp() - 1
    known = tokens.Tokens([tokens.Entry.model_validate(item) for item in yaml.safe_load(line)], lambda: now)
    assert known.identify(secret)
    now += 1
    assert cause_of(known, secret) is Cause.EXPIRED


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tokens: []", ["expected a list"]),
        ("- {", ["not valid YAML"]),
        ("- just text", ["entry 1"]),
        (f"- {{name: a, tenant: b, sha256: {SHA}, expire: 2030-01-01}}", ["entry 1", "expire", "Extra"]),
        (f"- {{tenant: b, sha256: {SHA}}}", ["entry 1: name", "required"]),
        (f"- {{name: a, tenant: 'b c', sha256: {SHA}}}", ["entry 1: tenant", "1 to 64 letters"]),
        ("- {name: a, tenant: b, sha256: abcd}", ["entry 1: sha256", "pattern"]),
        (f"- {{name: a, tenant: b, sha256: {SHA}, expires: 2030-01-01T00:00:00}}", ["entry 1: expires"]),
        (f"- {{name: a, tenant: b, sha256: {SHA}}}\n" * 2, ["entry 2: sha256", "entry 1"]),
        (f"- {{name: a, tenant: b, sha256: {SHA}}}\n" * 10_001, ["10001 tokens", "10000"]),
    ],
)
def test_what_is_wrong_in_the_file_is_named(tmp_path: Path, text: str, words: list[str]) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text(text)
    with pytest.raises(SettingsError) as error:
        tokens.read(str(file))
    for word in [f"auth.tokens_file: {file}", *words]:
        assert word in str(error.value)


def test_a_secret_that_was_put_in_place_of_its_hash_is_not_repeated(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    file.write_text("- {name: a, tenant: b, sha256: afs_thesecretitself}")
    with pytest.raises(SettingsError) as error:
        tokens.read(str(file))
    assert "thesecretitself" not in str(error.value)


# -- the command -----------------------------------------------------------------------------------


def command(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-m", "affectstream.cli", "token", *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def test_the_command_adds_lines_to_a_file_and_gives_the_secrets_alone(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    first = command("--tenant", "acme", "--name", "agent-1", "--days", "30", "--add", file)
    second = command("--tenant", "globex", "--add", file)
    assert (first.returncode, second.returncode) == (0, 0)
    known = tokens.read(str(file))
    assert known.identify(first.stdout.strip()) == Identity("acme", "agent-1")
    assert known.identify(second.stdout.strip()).tenant == "globex"
    assert first.stdout.strip() not in file.read_text() + first.stderr
    assert list(tmp_path.iterdir()) == [file]


def test_without_a_file_the_line_is_shown(tmp_path: Path) -> None:
    done = command("--tenant", "acme")
    file = tmp_path / "tokens.yaml"
    file.write_text("".join(line for line in done.stderr.splitlines() if line.startswith("- ")))
    assert tokens.read(str(file)).identify(done.stdout.strip()).tenant == "acme"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--tenant", "a b"], "tenant: expected 1 to 64 letters"),
        (["--tenant", "a", "--name", "x\ny"], "name: String should match"),
        (["--tenant", "a", "--days", "0"], "0 is not above 0"),
        (["--tenant", "a", "--add", "/nowhere/t.yaml"], "--add: /nowhere/t.yaml: No such file"),
    ],
)
def test_the_command_refuses_what_it_cannot_use(arguments: list[str], words: str) -> None:
    done = command(*arguments)
    assert done.returncode == 2
    assert words in done.stderr
    assert not done.stdout


def test_a_file_that_is_no_list_is_left_as_it_was(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("server: {}\n")
    done = command("--tenant", "a", "--add", file)
    assert done.returncode == 2
    assert f"--add: {file}" in done.stderr
    assert file.read_text() == "server: {}\n"


# -- reading again ---------------------------------------------------------------------------------


def test_many_threads_read_a_change_once(tmp_path: Path) -> None:
    file, reads = tmp_path / "f", []

    def read() -> bytes:
        reads.append(threading.get_ident())
        return read_bytes("key", str(file), 100)

    file.write_bytes(b"one")
    watched = Reloaded("it", [str(file)], read)
    before = watched.changed
    file.write_bytes(b"two two")
    assert (before, watched.changed) == (False, True)
    threads = [threading.Thread(target=watched.renew) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert watched.value == b"two two"
    assert len(reads) == 2


def test_a_file_that_went_and_came_back_is_read_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "f"
    file.write_bytes(b"one")
    watched = Reloaded("it", [str(file)], lambda: read_bytes("key", str(file), 4))
    file.unlink()
    assert not watched.renew()
    file.write_bytes(b"too long")
    assert not watched.renew()
    assert watched.value == b"one"
    errors = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert "No such file" in errors[0]
    assert "longer than 4 bytes" in errors[1]
    file.write_bytes(b"two")
    assert watched.renew()
    assert watched.value == b"two"
