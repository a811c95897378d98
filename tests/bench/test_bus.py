"""What an event costs a real Redis."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.bus import main
from tools.redis_server import RedisMissing, RedisServer


def test_an_event_costs_redis_something_and_all_are_published(tmp_path: Path) -> None:
    try:
        RedisServer(tmp_path / "redis")
    except RedisMissing as error:
        pytest.skip(str(error))
    out = tmp_path / "bus.json"
    assert main(["--sessions", "20", "--per-s", "500", "--seconds", "1", "--output", str(out)]) == 0
    found = json.loads(out.read_text())
    assert found["events"] == pytest.approx(500, rel=0.2)
    assert 1 < found["redis_us_per_event"] < 5_000
