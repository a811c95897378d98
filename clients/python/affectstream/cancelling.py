"""A cancellation counts, whatever gRPC makes of it.

When a task is cancelled while it waits for a call whose end has just come, `grpc.aio` takes the cancellation
for its own and answers with the status of the call (with 1.85.1 in one of 200 streams that a server refused):
who cancelled the task would wait for it for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc


@contextmanager
def cancellable() -> Iterator[None]:
    """Around what awaits gRPC.

    Raises:
        asyncio.CancelledError: the task was cancelled inside, and gRPC did not say so.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    except grpc.aio.AioRpcError:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
