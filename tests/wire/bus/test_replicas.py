"""Several processes, one Redis: whoever watches, watches from anywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import grpc

from tests.support.speech import sample_talk
from tests.support.watching import EARLIEST, of_session, of_tenant, watched, watching, without_token
from tests.support.wire import END, config, running_server
from tests.wire.resuming import calling, frames

TALK = sample_talk()[: 8 * 16_000]
DATA = TALK.tobytes()
SECOND = 16_000

Shared = Callable[..., dict[str, dict[str, Any]]]


async def test_a_session_of_one_process_is_watched_at_another(shared: Shared) -> None:
    async with running_server(shared()) as a, running_server(shared()) as b:
        async with (
            calling(a.address, config(session_id="call", resumable=True)) as call,
            watching(b.address, of_session("call", start=EARLIEST)) as watch,
            watching(b.address, of_tenant(start=EARLIEST)) as everything,
        ):
            await call.send([*frames(DATA, 0, len(TALK)), END])
            await call.call.done_writing()
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert await watch.to_the_end() is grpc.StatusCode.OK
            told = without_token(call.events)
            assert watch.events == told
            await everything.until(lambda events: len(events) == len(told))
        for event, count in zip(call.events, range(1, 100), strict=False):
            assert await watched(b.address, of_session("call", after=event.cursor)) == told[count:]
        for event, count in zip(everything.events, range(1, 100), strict=False):
            async with watching(a.address, of_tenant(after=event.cursor)) as rest:
                await rest.until(lambda events, count=count: len(events) == len(told) - count)
                assert rest.events == everything.events[count:]
