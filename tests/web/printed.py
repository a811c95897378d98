"""What `affectstream stream` prints of a talk."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any


async def printed(talk: Path, server: str) -> list[dict[str, Any]]:
    """The finals that `affectstream stream` prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "affectstream.cli", "stream", str(talk), "--server", server),
        *("--speed", "0", "--format", "jsonl"),
        stdout=asyncio.subprocess.PIPE,
    )
    out, _ = await process.communicate()
    assert process.returncode == 0
    affects = [event["affect"] for event in map(json.loads, out.splitlines()) if "affect" in event]
    return [affect for affect in affects if affect["stage"] == "STAGE_FINAL"]


def bounds(affect: dict[str, Any]) -> tuple[float, float]:
    """Start and end of a final, in seconds."""
    return float(affect["audioStart"].rstrip("s")), float(affect["audioEnd"].rstrip("s"))
