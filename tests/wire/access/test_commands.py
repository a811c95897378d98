"""The command line and the probe speak TLS and show tokens; what they cannot use they name in one line."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import soundfile

from affectstream_server import probe
from affectstream_server.auth import tokens
from tests.support.pki import Pki
from tests.support.speech import sample_talk
from tests.support.wire import running_server


@dataclass
class Guarded:
    """A server that asks callers for a certificate and a token, and what lets one in."""

    address: str
    pki: Pki
    token_file: Path
    options: list[str]


@pytest.fixture
async def guarded(pki: Pki, tmp_path: Path) -> AsyncIterator[Guarded]:
    listed, token_file = tmp_path / "tokens.yaml", tmp_path / "agent.token"
    secret, line = tokens.make("acme", "agent", None)
    listed.write_text(line)
    token_file.write_text(f"{secret}\n")
    agent = pki.ours.issue("agent")
    tls = {"cert_file": pki.server.cert, "key_file": pki.server.key, "client_ca_file": pki.ca}
    async with running_server({"tls": tls, "auth": {"tokens_file": str(listed)}}) as server:
        options = ["--ca", pki.ca, "--cert", agent.cert, "--key", agent.key, "--server-name", "localhost"]
        yield Guarded(server.address, pki, token_file, [*options, "--token-file", str(token_file)])


async def run(*arguments: str, environ: dict[str, str] | None = None) -> tuple[int, str, str]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "affectstream.cli", *arguments),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **(environ or {})},
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_info_stream_and_analyze_get_through(guarded: Guarded, tmp_path: Path) -> None:
    talk = tmp_path / "talk.wav"
    soundfile.write(talk, sample_talk()[:48_000], 16_000, subtype="PCM_16")
    to = ["--server", guarded.address, *guarded.options]
    done = await asyncio.gather(
        run("info", *to),
        run("stream", str(talk), "--speed", "0", "--format", "jsonl", *to),
        run("analyze", str(talk), *to),
    )
    assert [status for status, _, _ in done] == [0, 0, 0], done
    assert "affect-embedded" in done[0][1]
    assert "sessionClosed" in done[1][1]
    assert "talk.wav" in done[2][1]


async def test_the_environment_does_for_options(guarded: Guarded) -> None:
    options = dict(zip(guarded.options[::2], guarded.options[1::2], strict=True))
    environ = {
        "AFFECTSTREAM_CA": options["--ca"],
        "AFFECTSTREAM_CERT": options["--cert"],
        "AFFECTSTREAM_KEY": options["--key"],
        "AFFECTSTREAM_SERVER_NAME": options["--server-name"],
    }
    secret = guarded.token_file.read_text().strip()
    by_value = await run(
        "info", "--server", guarded.address, environ=environ | {"AFFECTSTREAM_TOKEN": secret}
    )
    by_file = await run(
        *("info", "--server", guarded.address),
        environ=environ | {"AFFECTSTREAM_TOKEN_FILE": str(guarded.token_file)},
    )
    assert (by_value[0], by_file[0]) == (0, 0), (by_value, by_file)


def without(options: list[str], *names: str) -> list[str]:
    pairs = zip(options[::2], options[1::2], strict=True)
    return [part for pair in pairs if pair[0] not in names for part in pair]


async def test_what_is_missing_is_said_in_one_line(guarded: Guarded) -> None:
    cells = {
        "--token-file": "no token that this server accepts",
        "--ca": "its certificate is of a CA that is not trusted here",
        "--server-name": "its certificate is for another name",
    }
    done = await asyncio.gather(
        *(run("info", "--server", guarded.address, *without(guarded.options, name)) for name in cells),
        run("info", "--server", guarded.address, *without(guarded.options, "--cert", "--key")),
        run("info", "--server", guarded.address),
    )
    closed = "it closed the connection: is it full, or does it want TLS or a certificate?"
    for (status, out, err), words in zip(done, [*cells.values(), closed, closed], strict=True):
        assert status == 1
        assert not out
        assert words in err
        assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ca", "/nowhere.pem"], "Tls.ca_file: /nowhere.pem: cannot be read: No such file"),
        (["--cert", "/nowhere.pem"], "--cert and --key go together"),
        (["--token-file", "/nowhere"], "--token-file: /nowhere: cannot be read: No such file"),
        (["--token-file", "/dev/null"], "--token-file: /dev/null: holds no token"),
    ],
)
async def test_what_cannot_be_used_is_named(arguments: list[str], words: str) -> None:
    status, out, err = await run("info", "--server", "127.0.0.1:1", *arguments)
    assert (status, out) == (2, "")
    assert words in err
    assert "Traceback" not in err


async def test_a_token_is_not_shown_to_another_machine_in_plain_text() -> None:
    environ = {"AFFECTSTREAM_TOKEN": "afs_secret"}
    status, out, err = await run("info", "--server", "affect.example:1", environ=environ)
    assert (status, out) == (2, "")
    assert err == "affectstream info: the token would go to affect.example:1 in plain text: use tls\n"
    assert "afs_secret" not in err


async def test_the_probe_needs_a_certificate_where_one_is_asked_for_and_no_token(
    guarded: Guarded, capsys: pytest.CaptureFixture[str]
) -> None:
    async def ask(*options: str) -> int:
        return await asyncio.to_thread(probe.main, [guarded.address, "--timeout", "2", *options])

    tls = without(guarded.options, "--token-file")
    assert await ask(*tls) == 0
    assert await ask(*tls, "--live") == 0
    assert await ask(*without(tls, "--cert", "--key")) == 1
    assert await ask() == 1
    assert await ask(*without(tls, "--ca")) == 1
    assert "its certificate is of a CA that is not trusted here" in capsys.readouterr().err
    assert await ask("--ca", "/nowhere.pem") == 2
    assert "Tls.ca_file: /nowhere.pem: cannot be read" in capsys.readouterr().err
