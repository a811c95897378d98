"""The processes of the compose files, started for real from what stands in the files."""

from __future__ import annotations

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tools.compose import LAYERS, MAIN
from tools.prometheus import PrometheusMissing, program
from tools.redis_server import RedisMissing, RedisServer
from tools.stack import NOT_HERE, Stack


def get(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=5) as response:  # noqa: S310 - http://127.0.0.1
        return json.load(response)


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("_installed")
def test_the_whole_stack_runs_as_the_files_say(tmp_path: Path, figure: Callable[[str], None]) -> None:
    try:
        program("prometheus")
        RedisServer(tmp_path)
    except (PrometheusMissing, RedisMissing) as missing:
        pytest.skip(str(missing))
    stack = Stack([MAIN, *LAYERS], "cpu", tmp_path)
    began = time.monotonic()
    try:
        stack.start()
        healthy_s = time.monotonic() - began
        command = stack.command("prometheus")
        assert "--enable-feature=exemplar-storage" in command
        assert f"--storage.tsdb.path={tmp_path / 'prometheus'}" in command
        assert stack.command("redis")[-1] == "noeviction"
        info = get(f"http://{stack.address('bridge', 8080)}/v1/info")
        assert "affect-embedded" in json.dumps(info), "the page is told what there is"
        api = f"http://{stack.address('prometheus', 9090)}/api/v1"
        wanted = {
            'sum(up{job="affectstream"})': 1,
            'sum(up{job="triton"})': 1,
            'sum(affectstream_utterances_total{status=~"OK|ABSTAINED"})': 1,
            "affectstream_bus_published_total": 1,
            'sum(nv_inference_request_success{model="affect_embedded"})': 1,
        }
        while wanted and time.monotonic() - began < 120:
            for query, least in list(wanted.items()):
                result = get(f"{api}/query?query={urllib.parse.quote(query)}")["data"]["result"]
                if result and float(result[0]["value"][1]) >= least:
                    del wanted[query]
            time.sleep(0.5)
        assert wanted == {}
        assert all(stack.healthy(name) for name in stack.services if name not in NOT_HERE)
        figure(
            f"compose files without Docker: {len(stack.services) - len(stack.skipped)} parts healthy after "
            f"{healthy_s:.0f} s, not started: {', '.join(sorted(stack.skipped))}"
        )
    finally:
        stack.stop()
