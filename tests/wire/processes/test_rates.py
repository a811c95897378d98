"""What a tenant may take it may take once, in whichever process; and what a process that is alone goes by."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from affectstream_server.pipeline import Pipeline
from affectstream_server.processes.siblings import Siblings
from affectstream_server.quotas import Tenant
from affectstream_server.scoring.router import from_settings
from affectstream_server.settings import load
from tests.wire.client.talks import until
from tests.wire.processes.several import linked

SETTINGS = load(environ={}, overrides={"quotas": {"audio_rate": 10, "utterances_per_minute": 3}})


@asynccontextmanager
async def two_pipelines() -> AsyncIterator[tuple[list[Pipeline], list[Siblings]]]:
    """Each as in a process of its own."""
    async with linked(2) as (_, everyone):
        pipelines = [Pipeline(SETTINGS, from_settings(SETTINGS)) for _ in everyone]
        for siblings, pipeline in zip(everyone, pipelines, strict=True):
            siblings.join(pipeline)
        try:
            yield pipelines, everyone
        finally:
            for pipeline in pipelines:
                await pipeline.close()


def wait_for_audio_s(tenant: Tenant) -> float:
    assert tenant.audio is not None
    return tenant.audio.wait_s()


def wait_for_an_utterance_s(tenant: Tenant) -> float:
    assert tenant.utterances is not None
    return tenant.utterances.wait_s()


async def test_rates_hold_over_all_processes() -> None:
    async with two_pipelines() as (pipelines, _):
        here, there = (pipeline.quotas.tenant("acme") for pipeline in pipelines)
        another = pipelines[1].quotas.tenant("other")
        for _ in range(2):
            with here.analysis():
                pass
        with there.analysis():
            pass
        await until(lambda: wait_for_an_utterance_s(here) > 0 and wait_for_an_utterance_s(there) > 0)
        here.take_audio(16_000 * 60)
        await until(lambda: wait_for_audio_s(there) > 0)
        assert wait_for_audio_s(there) == pytest.approx(wait_for_audio_s(here), abs=0.5)
        assert not wait_for_audio_s(another)
        assert not wait_for_an_utterance_s(another)


async def test_a_process_without_its_supervisor_goes_by_bounds_of_its_own() -> None:
    async with two_pipelines() as (pipelines, (here, there)):
        sessions, tenant = pipelines[0].sessions, pipelines[0].quotas.tenant("acme")
        async with there.holding("streams", "acme"):
            async with here.holding("streams", "acme"):
                assert (sessions.elsewhere, tenant.elsewhere["streams"]) == (1, 1)
            await here.link.close()
            async with here.holding("streams", "acme"):
                assert (sessions.elsewhere, tenant.elsewhere["streams"]) == (0, 0)
