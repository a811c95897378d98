"""Three servers with one Redis behind the deployment's proxy."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator

import pytest

from tests.support.cluster import Cluster, wait_ready
from tests.support.redis import RedisServer

DRAIN_S = 4
REPLICAS = 3


@pytest.fixture(scope="package")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """All of its replicas are well. A test leaves as many."""
    folder = tmp_path_factory.mktemp("cluster")
    redis = RedisServer(folder / "redis")
    redis.start()
    settings = {"AFFECTSTREAM_BUS__URL": redis.url, "AFFECTSTREAM_SERVER__DRAIN_S": str(DRAIN_S)}
    try:
        with Cluster(folder, settings) as cluster:
            replicas = dict(cluster.start_replica() for _ in range(REPLICAS))
            for replica in replicas.values():
                wait_ready(replica)
            cluster.name(replicas)
            cluster.wait_up(cluster.proxy, REPLICAS)
            yield cluster
    finally:
        redis.kill()


async def off(call: Callable[..., object], *arguments: object) -> None:
    """Something that blocks, while the callers go on."""
    await asyncio.to_thread(call, *arguments)
