"""Every replica is restarted under load, one after the other: no final is lost, and none comes twice."""

from __future__ import annotations

import asyncio
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest

from affectstream import AffectClient, Event, NewSession, Reconnect, StreamConfig
from tests.scale_out.conftest import REPLICAS, off
from tests.scale_out.talkers import TALK, Talker, bounds, calling
from tests.support.cluster import Cluster, wait_ready
from tests.wire.client.talks import finals, whole

pytestmark = [pytest.mark.xdist_group("scale_out"), pytest.mark.timeout(240)]

TALKERS = 12
TWO_UTTERANCES = TALK[: 16 * 5_000]
STEP_S = 60
"""For callers to begin, and to end, on a busy machine."""


async def come_and_go(client: AffectClient, enough: asyncio.Event) -> list[int]:
    """New streams all the while, each with two utterances. Returns how many finals each had."""
    counts = []
    while not enough.is_set():
        async with client.stream(StreamConfig(), reconnect=Reconnect(wait_when_full=True)) as stream:
            counts.append(len(finals(await whole(stream, TWO_UTTERANCES))))
        await asyncio.sleep(0.2)
    return counts


async def watch(client: AffectClient, heard: list[Event]) -> None:
    """What everybody hears, from whichever replica."""
    async with client.watch() as watching:
        async for event in watching:
            heard.append(event)  # noqa: PERF401 - it is read meanwhile


async def roll(cluster: Cluster) -> list[float]:
    """Replace every replica. Returns how long each needed to end, in seconds."""
    took_s = []
    for host, replica in list(cluster.replicas.items()):
        new_host, new = await asyncio.to_thread(cluster.start_replica)
        began_s = time.monotonic()
        await off(replica.end, signal.SIGTERM)
        took_s.append(time.monotonic() - began_s)
        assert replica.process.returncode == 0, replica.said
        await off(wait_ready, new)
        # Only now, as where the name server is slow: the replica that went has had its name all the while.
        cluster.name({key: value for key, value in cluster.replicas.items() if key != host} | {new_host: new})
        await off(cluster.wait_up, cluster.proxy, REPLICAS)
    return took_s


async def test_a_rolling_restart_loses_no_final_and_doubles_none(
    cluster: Cluster, record_property: Callable[[str, object], None]
) -> None:
    async with calling(cluster.address, cluster.pki.ca) as client:
        true = await bounds(client)
    talkers = [Talker() for _ in range(TALKERS)]
    enough, watched = asyncio.Event(), list[Event]()
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(calling(cluster.address, cluster.pki.ca)) for _ in range(5)
        ]
        # Whoever fails ends all at once, and says why.
        calls = await stack.enter_async_context(asyncio.TaskGroup())
        watching = calls.create_task(watch(clients[4], watched))
        await asyncio.sleep(0.5)
        talks = []
        for number, talker in enumerate(talkers):
            talks.append(calls.create_task(talker.talk(clients[number % 3], enough)))
            await asyncio.sleep(0.17)
        short = calls.create_task(come_and_go(clients[3], enough))
        async with asyncio.timeout(STEP_S):
            await asyncio.gather(*(talker.streaming.wait() for talker in talkers))
        spread = cluster.proxy.streams()
        took_s = await roll(cluster)
        enough.set()
        async with asyncio.timeout(STEP_S):
            await asyncio.gather(*talks)
            counts = await short
        ids = [each.utterance_id for talker in talkers for each in finals(talker.events)]
        async with asyncio.timeout(20):
            while not set(ids) <= {each.utterance_id for each in finals(watched)}:
                await asyncio.sleep(0.1)
        watching.cancel()
        async with asyncio.timeout(STEP_S):
            await asyncio.wait({watching})
    faults = {number: wrong for number, each in enumerate(talkers) if (wrong := each.wrong(true))}
    moved = sum(talker.count(NewSession) for talker in talkers)
    record_property(
        "figure",
        f"rolling restart: {len(ids)} finals of {TALKERS} callers, {sum(counts)} of {len(counts)} short "
        f"streams, {moved} sessions moved, replicas gone after {', '.join(f'{s:.1f}' for s in took_s)} s",
    )
    assert faults == {}
    assert sum(talker.lost_samples for talker in talkers) == 0
    assert moved >= TALKERS, "every caller's replica went"
    assert len(spread) == REPLICAS
    assert max(spread.values()) - min(spread.values()) <= 3, "streams are spread, not connections"
    assert set(counts) == {2}
    twice = Counter(each.utterance_id for each in finals(watched))
    assert [name for name, times in twice.items() if times > 1] == []
