"""What the tests of the client share."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from tests.support.fault_proxy import FaultProxy


@pytest.fixture
async def proxy(server_address: str) -> AsyncIterator[FaultProxy]:
    """A line to a server of its own."""
    async with FaultProxy(server_address) as proxy:
        yield proxy
