"""Connections on which nothing is said, in real time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.support.http2 import connected
from tests.support.wire import running_server
from tests.wire.test_connections import silent

SILENT_S, PREFACE_S = 5, 60


@pytest.mark.fault("silent connection")
@pytest.mark.timeout(5 * PREFACE_S + 30)
async def test_who_says_nothing_and_who_says_only_hello_are_left(
    full: bool, figure: Callable[[str], None]
) -> None:
    if not full:
        pytest.skip("a minute of silence: --full (shortened in tests/wire/test_connections.py)")
    async with running_server() as server, connected(server.address) as greeting:
        began = time.monotonic()
        silent_s = await silent(server.address)
        async with asyncio.timeout(5 * PREFACE_S):
            while greeting.closed_at is None:
                await asyncio.sleep(0.1)
        greeted_s = time.monotonic() - began
    figure(
        f"silent TCP closed after {silent_s:.1f} s (wanted: {SILENT_S}), "
        f"preface only after {greeted_s:.1f} s (wanted: {PREFACE_S})"
    )
    assert silent_s <= 5 * SILENT_S
