"""The tutorial, as its reader does it: every block in order, in an empty folder, against a real server.

Three things differ: the port is a free one, audio is sent faster, and `make demo`, which `.ci/run` begins
with, is the program that it starts.
"""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.chat import chat_server

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r'^```(\w+) title="([\w. ]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
VALUE = re.compile(r"[01]\.\d\d")
ASIDE = re.compile(r"\d+:\d\d\.\d\d|  lag -?\d+ ms|(?<= )\d+ ms|  ahead$|(?<=  )ahead, ", re.MULTILINE)
"""Times, and whether a score came early: they differ from run to run."""


class Terminals:
    """What the reader has open: a folder, and one running command in each terminal."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._running: dict[str, subprocess.Popen[str]] = {}
        self._commands = 0

    def type(self, terminal: str, command: str) -> None:
        """Run a command there, when the one before has ended well."""
        self.wait(terminal)
        self._commands += 1
        with self.output(terminal).open("w") as out:
            self._running[terminal] = subprocess.Popen(
                ["bash", "-o", "pipefail", "-c", command],
                cwd=self._folder,
                env=self._environment,
                stdout=out,
                stderr=subprocess.PIPE,
                text=True,
                start_new_session=True,
            )

    def output(self, terminal: str) -> Path:
        """What the newest command there has printed so far."""
        return self._folder / f"{terminal}.out"

    def wait(self, terminal: str) -> None:
        """Until the command there has ended. Fails if it failed."""
        if process := self._running.pop(terminal, None):
            _, errors = process.communicate(timeout=40)
            assert (process.returncode, errors) == (0, "")

    def wait_for_line(self, terminal: str) -> None:
        """Until the command there says something, which may go on."""
        deadline = time.monotonic() + 30
        while not self.output(terminal).read_text().endswith("\n"):
            assert time.monotonic() < deadline, self._running[terminal].poll()
            time.sleep(0.05)

    def close(self) -> None:
        """End what still runs."""
        for process in self._running.values():
            os.killpg(process.pid, signal.SIGTERM)
        for process in self._running.values():
            process.communicate(timeout=30)


@contextmanager
def opened(folder: Path, environment: dict[str, str]) -> Iterator[Terminals]:
    """Terminals that are closed at the end."""
    terminals = Terminals(folder, environment)
    try:
        yield terminals
    finally:
        terminals.close()


def differences(shown: str, printed: str) -> list[str]:
    """Lines that are not as shown: labels and statuses to the letter, values to 0.03, times aside."""
    pairs = list(zip(shown.splitlines(), printed.splitlines(), strict=False))
    if len(shown.splitlines()) != len(printed.splitlines()):
        return [f"{len(shown.splitlines())} lines shown, printed:\n{printed}"]
    return [f"{a!r} shown, {b!r} printed" for a, b in pairs if not _alike(a, b)]


def _alike(shown: str, printed: str) -> bool:
    first, second = (ASIDE.sub("", text).rstrip() for text in (shown, printed))
    values = zip(VALUE.findall(first), VALUE.findall(second), strict=False)
    same_text = VALUE.sub("#", first) == VALUE.sub("#", second)
    return same_text and all(abs(float(a) - float(b)) <= 0.03 for a, b in values)


def as_here(command: str, port: int) -> str:
    """A command of the page, as it is run here."""
    command = command.replace("make demo", "affectstream demo").replace("--speed 4", "--speed 16")
    command = command.replace("affectstream demo", "affectstream demo --speed 16")
    return command.replace("affectstream serve", f"affectstream serve --address 127.0.0.1:{port}")


@pytest.mark.timeout(150)
def test_the_tutorial_does_what_it_shows(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    page = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8").replace("50551", str(port))
    blocks = BLOCK.findall(page)
    assert len(blocks) == page.count("\n```") // 2, "every block says where it belongs"
    (tmp_path / "clients").symlink_to(ROOT / "clients")
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("AFFECTSTREAM_")}
    environment = inherited | {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "LLM_MODEL": "any",
        "LLM_KEY": "a-key",
    }
    shown = 0
    with chat_server(lambda _: {"role": "assistant", "content": "I am on it."}) as (model, asked):
        environment["LLM_URL"] = f"http://{model}/v1/chat/completions"
        with opened(tmp_path, environment) as terminals:
            for kind, title, text in blocks:
                if kind == "python":
                    (tmp_path / title).write_text(text, encoding="utf-8")
                elif kind == "sh":
                    lines = [line for line in text.splitlines() if line != ". .venv/bin/activate"]
                    for line in lines:
                        terminals.type(title, as_here(line, port))
                else:
                    shown += 1
                    if "ready on" in text:
                        terminals.wait_for_line(title)
                    else:
                        terminals.wait(title)
                    assert differences(text, terminals.output(title).read_text()) == []
            terminals.wait("terminal 3")
            assert terminals.output("terminal 3").read_text() == "I am on it.\n"
    assert shown == 4
    assert (tmp_path / "runs/demo/timeline.png").stat().st_size > 10_000
    (request,) = asked
    assert [message["role"] for message in request["messages"]] == ["system", "system", "user"]


def test_what_is_not_as_shown_is_found() -> None:
    start = "  4  0:10.88-0:13.78  angry 0.57      arousal 0.87  OK          hang-over 160 ms"
    plain = f"{start}  lag 16 ms  ahead\n"
    assert differences(plain, f"{start}  lag 160 ms\n") == []
    shown = f"{start}  lag 16 ms  ahead, tone upset\n"
    later = shown.replace("0:10.88", "0:10.91").replace("16 ms", "160 ms").replace("ahead, ", "")
    assert differences(shown, later.replace("0.57", "0.58")) == []
    for wrong in (
        plain,
        shown.replace("upset", "even"),
        shown.replace("angry", "sad"),
        shown.replace("OK", "ABSTAINED"),
        shown.replace("0.87", "0.7"),
    ):
        assert differences(shown, wrong) != []
    assert differences(shown, shown * 2) != []
