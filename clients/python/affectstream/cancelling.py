"""A cancellation of a task is one, whatever gRPC makes of it, and of a call none of the task.

When a task is cancelled while it waits for a call whose end has just come, `grpc.aio` takes the cancellation
for its own and answers with the status of the call (with 1.85.1 in one of 200 streams that a server refused):
who cancelled the task would wait for it for ever. And when a call is cancelled, or its channel closed, who
waits for it gets a `CancelledError` as if their task were meant: it would end without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

import grpc

from affectstream import errors


@contextmanager
def cancellable() -> Iterator[None]:
    """Around what awaits gRPC.

    Raises:
        asyncio.CancelledError: the task was cancelled inside, whether or not gRPC said so.
        Cancelled: the call was, and not the task.
    """
    task = asyncio.current_task()
    before = task.cancelling() if task is not None else 0
    try:
        yield
    except asyncio.CancelledError:
        if task is not None and task.cancelling() > before:
            raise
        raise errors.Cancelled("the call was cancelled by another task, or its client was closed") from None
    except grpc.aio.AioRpcError:
        if task is not None and task.cancelling() > before:
            raise asyncio.CancelledError from None
        raise
    if task is not None and task.cancelling() > before:
        raise asyncio.CancelledError
