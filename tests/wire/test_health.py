"""Health over the wire: who watches is told, and who does not read holds nobody up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2_grpc
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from affectstream_server.edge import health
from tests.support.process import start_process
from tests.support.raw_grpc import RawGrpc
from tests.support.triton import seen
from tests.support.wire import config, error_info, finals, running_server
from tests.wire.resuming import calling, keep_talking

ANY = HealthCheckRequest()
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@asynccontextmanager
async def stub(address: str) -> AsyncIterator[Any]:
    """The stub on a connection of its own."""
    async with grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)]) as channel:
        yield health_pb2_grpc.HealthStub(channel)


async def status(watch: Any) -> int:
    """The next that the watcher is told."""
    async with asyncio.timeout(10):
        return int((await watch.read()).status)


async def ask(raw: RawGrpc, method: str) -> int:
    """Call without an eye for the answer. Returns the stream."""
    stream = await raw.call(method, path=health.METHODS + method)
    await raw.message(stream, ANY.SerializeToString(), end=True)
    return stream


@pytest.mark.fault("SIGTERM")
async def test_a_drain_is_told_to_every_watcher_and_waits_for_none() -> None:
    process, address = start_process(environment={"AFFECTSTREAM_SERVER__DRAIN_S": "3"})
    try:
        async with (
            RawGrpc(address, reads=False, window=0) as raw,
            calling(address, config()) as call,
            stub(address) as service,
        ):
            await ask(raw, "Watch")
            watches = [service.Watch(ANY) for _ in range(3)]
            assert [await status(watch) for watch in watches] == [SERVING] * 3
            watches.pop(0).cancel()
            talking = asyncio.create_task(keep_talking(call))
            await call.until(lambda events: events[-1].HasField("speech_started"))
            process.send_signal(signal.SIGTERM)
            await call.until(lambda events: events[-1].HasField("session_closing"))
            assert (await service.Check(ANY, timeout=10)).status == NOT_SERVING
            assert not finals(call.events), "they still talk"
            assert [await status(watch) for watch in watches] == [NOT_SERVING] * 2
            live = await service.Check(HealthCheckRequest(service="liveness"), timeout=10)
            assert live.status == SERVING
            assert await call.to_the_end() is grpc.StatusCode.UNAVAILABLE
            talking.cancel()
            await asyncio.gather(talking, return_exceptions=True)
            assert len(finals(call.events)) == 1
        assert await asyncio.to_thread(process.wait, 15) == 0
    finally:
        process.kill()
        process.communicate()


async def test_a_watcher_who_does_not_read_is_left_and_finds_out_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "WRITE_S", 0.2)
    async with running_server() as server, RawGrpc(server.address, reads=False, window=0) as raw:
        watchers = server._grpc._health._watchers
        stream = await ask(raw, "Watch")
        await seen(lambda: watchers, 10)
        await seen(lambda: not watchers, 10)
        raw.http.increment_flow_control_window(1_000, stream)
        await raw.bytes(raw.http.data_to_send())
        assert await raw.answered(stream) == "status 8"


async def test_a_connection_has_so_many_calls_and_takes_none_from_others() -> None:
    async with running_server() as server, stub(server.address) as service:
        held = server._grpc._health.calls
        async with RawGrpc(server.address, reads=False, window=0) as raw:
            await raw.call("Check", path=health.METHODS + "Check")  # and no request comes
            for method in ("Check", "Watch", "Check") * (health.MOST_CALLS // 3):
                await ask(raw, method)
            await seen(lambda: len(held) == health.MOST_CALLS, 10)
            for method in ("Check", "Watch", "Check"):
                assert await raw.answered(await ask(raw, method)) == "status 8"
            assert (await service.Check(ANY, timeout=10)).status == SERVING
        await seen(lambda: not len(held), 10)


async def test_a_service_that_there_is_not(server_address: str) -> None:
    nobody = HealthCheckRequest(service="nobody")
    async with stub(server_address) as service:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await service.Check(nobody, timeout=10)
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND
        watch = service.Watch(nobody)
        assert await status(watch) == HealthCheckResponse.SERVICE_UNKNOWN
        watch.cancel()
        for method in (service.Check, service.Watch):
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                long = method(HealthCheckRequest(service="x" * 2_000), timeout=10)
                await (long if method == service.Check else long.read())
            assert error_info(caught.value).reason == "MESSAGE_TOO_LARGE"
