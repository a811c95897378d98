"""The proxy before the servers: what passes it, and what becomes of sessions when it or a server is gone."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from affectstream import AffectClient, AudioFormat, NewSession, Resumed, StreamConfig, errors
from tests.scale_out.conftest import REPLICAS, off
from tests.scale_out.talkers import Talker, bounds, calling
from tests.support.cluster import Cluster, wait_ready

pytestmark = [pytest.mark.xdist_group("scale_out"), pytest.mark.timeout(180)]

TALKERS = 9


@asynccontextmanager
async def talking(cluster: Cluster) -> AsyncIterator[list[Talker]]:
    """Callers who are heard, each with a connection of their own; they have finished in the end."""
    enough = asyncio.Event()
    async with AsyncExitStack() as stack, asyncio.TaskGroup() as talks:
        talkers = [Talker() for _ in range(TALKERS)]
        for talker in talkers:
            client = await stack.enter_async_context(calling(cluster.address, cluster.pki.ca))
            talks.create_task(talker.talk(client, enough))
            await asyncio.sleep(0.11)
        await asyncio.gather(*(talker.streaming.wait() for talker in talkers))
        yield talkers
        enough.set()


@pytest.fixture
async def client(cluster: Cluster) -> AsyncIterator[AffectClient]:
    async with calling(cluster.address, cluster.pki.ca) as client:
        yield client


async def test_a_refusal_comes_through_with_its_status_field_and_reason(client: AffectClient) -> None:
    config = StreamConfig(audio=AudioFormat(sample_rate_hz=96_000))
    for _ in range(20):
        with pytest.raises(errors.InvalidRequest) as caught:
            async with client.stream(config):
                pass
        assert (caught.value.field, caught.value.value) == ("config.audio.sample_rate_hz", "96000")


async def test_a_proxy_that_is_gone_cuts_lines_and_ends_no_session(
    cluster: Cluster, client: AffectClient
) -> None:
    true = await bounds(client)
    async with talking(cluster) as talkers:
        before, cluster.proxy = cluster.proxy, cluster.start_proxy()
        await off(cluster.wait_up, cluster.proxy, REPLICAS)
        await off(before.child.end, signal.SIGTERM)
    assert [talker.wrong(true) for talker in talkers] == [""] * TALKERS
    assert min(talker.count(Resumed) for talker in talkers) >= 1, "everybody's line was cut"
    assert [talker.count(NewSession) for talker in talkers] == [0] * TALKERS, "and led back to their server"
    assert sum(talker.lost_samples for talker in talkers) == 0


async def test_a_server_that_is_gone_at_once_costs_nobody_a_final(
    cluster: Cluster, client: AffectClient
) -> None:
    true = await bounds(client)
    async with talking(cluster) as talkers:
        host, replica = next(iter(cluster.replicas.items()))
        replica.kill()
        new_host, new = await asyncio.to_thread(cluster.start_replica)
        await off(wait_ready, new)
        cluster.name({key: value for key, value in cluster.replicas.items() if key != host} | {new_host: new})
        await off(cluster.wait_up, cluster.proxy, REPLICAS)
    assert [talker.wrong(true) for talker in talkers] == [""] * TALKERS
    moved = [talker.count(NewSession) for talker in talkers]
    assert 1 <= sum(moved) < TALKERS, "those of that server, and nobody else"
    assert sum(talker.lost_samples for talker in talkers) == 0
