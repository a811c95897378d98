"""A real server, a real bridge, a browser, and recordings to play to the page. One of each for all tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
import pytest_asyncio
from playwright.async_api import Browser

from tests.support.bridge import running_bridge
from tests.support.browser import browser, recorded
from tests.support.speech import sample_talk
from tests.support.wire import running_server

SECOND = 16_000


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They share a browser, and with it a loop."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.asyncio(loop_scope="session"), append=False)


@pytest.fixture(scope="session")
def talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Nineteen seconds, in which five utterances end: three of them unsure, one angry, one neutral."""
    return recorded(sample_talk()[: 19 * SECOND], tmp_path_factory.mktemp("web") / "talk.wav")


@pytest.fixture(scope="session")
def short_talk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Seven seconds, in which two utterances end, and a second of silence."""
    samples = np.concatenate([sample_talk()[: 7 * SECOND], np.zeros(SECOND, np.int16)])
    return recorded(samples, tmp_path_factory.mktemp("web") / "short.wav")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def chromium(talk: Path) -> AsyncIterator[Browser]:
    """A browser whose microphone says the talk. Visitors that do not bring the permission are denied it."""
    microphone = f"--use-file-for-fake-audio-capture={talk}%noloop"
    async with browser("--use-fake-device-for-media-stream", microphone) as started:
        yield started


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def server() -> AsyncIterator[str]:
    """HOST:PORT of a server with default settings."""
    async with running_server() as running:
        yield running.address


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def address(server: str) -> AsyncIterator[str]:
    """HOST:PORT of a bridge before it."""
    async with running_bridge(server) as bridge:
        yield bridge.address
