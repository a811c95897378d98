"""A Redis for each test, and servers that share it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.redis import RedisServer

Overrides = dict[str, dict[str, Any]]


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    """Started; it forgets everything when it is killed."""
    server = RedisServer(tmp_path / "redis")
    server.start()
    yield server
    server.kill()


@pytest.fixture
def shared(redis: RedisServer) -> Callable[..., Overrides]:
    """The settings of a server that shares the bus; more of the section as keywords."""

    def settings(**bus: Any) -> Overrides:
        return {"bus": {"url": redis.url, "timeout_ms": 500, "owner_s": 1.0, **bus}}

    return settings
