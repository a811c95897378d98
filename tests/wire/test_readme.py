"""The README's program runs as it is printed."""

from __future__ import annotations

import asyncio
import re
import subprocess
import sys
from pathlib import Path

import soundfile

from tests.support.speech import sample_talk

README = Path(__file__).resolve().parents[2] / "README.md"


async def test_the_program_in_the_readme_prints_what_it_hears(server_address: str, tmp_path: Path) -> None:
    block = re.search(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert block is not None
    program = block[1].replace("127.0.0.1:50551", server_address).replace("sleep(0.020)", "sleep(0)")
    (tmp_path / "program.py").write_text(program, encoding="utf-8")
    soundfile.write(tmp_path / "talk.wav", sample_talk(), 16_000, subtype="PCM_16")
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "program.py"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines, "at least one utterance of the talk is not abstained on"
    for line in lines:
        _, label, arousal = line.rsplit(maxsplit=2)
        assert label in {"neutral", "happy", "sad", "angry"}
        assert 0 <= float(arousal) <= 1
