"""A real Redis for tests, or a skip with its reason."""

from __future__ import annotations

from pathlib import Path

import pytest

from tools import redis_server
from tools.redis_server import RedisMissing


class RedisServer(redis_server.RedisServer):
    """See `tools.redis_server.RedisServer`."""

    def __init__(self, folder: Path, *, keep: bool = False, password: str = "") -> None:
        try:
            super().__init__(folder, keep=keep, password=password)
        except RedisMissing as missing:
            pytest.skip(str(missing))
