"""More calls than are open at once are refused with a reason, and whoever is served notices nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import tokens
from affectstream_server.edge import admission
from tests.support.raw_grpc import RawGrpc
from tests.support.speech import sample_talk
from tests.support.triton import seen
from tests.support.wire import END, chunks, config, error_info, finals, running_server, stub
from tests.wire import test_health as health
from tests.wire.resuming import calling

OTHERS = 2
MOST = 3 + OTHERS
TOO_MANY = "RESOURCE_EXHAUSTED TOO_MANY_CALLS"
FEW: dict[str, dict[str, Any]] = {"server": {"max_streams": 1, "max_analyses": 1}, "bus": {"max_watchers": 1}}


@pytest.fixture(autouse=True)
def _few_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "OTHERS", OTHERS)


async def why_not(address: str, **options: Any) -> str:
    """The status and the reason of a call that is refused; empty: it is not."""
    async with stub(address) as service:
        try:
            await service.GetServerInfo(pb.GetServerInfoRequest(), timeout=10, **options)
        except grpc.aio.AioRpcError as error:
            return f"{error.code().name} {error_info(error).reason}"
    return ""


def shown(token: str) -> tuple[tuple[str, str], ...]:
    """The metadata of a call with this token."""
    return (("authorization", f"Bearer {token}"),)


async def ask(raw: RawGrpc, *more: tuple[str, str]) -> None:
    """Ask without an eye for the answer."""
    stream = await raw.call("GetServerInfo", *more)
    await raw.message(stream, pb.GetServerInfoRequest().SerializeToString(), end=True)


@pytest.mark.fault("limits reached")
async def test_calls_whose_answer_nobody_reads_are_bounded_and_harm_no_stream() -> None:
    async with running_server(FEW) as server, calling(server.address, config()) as call:
        open_calls = server._grpc._admission.calls
        async with RawGrpc(server.address, reads=False, window=0) as raw:
            await raw.call("GetServerInfo")  # and no request comes
            for _ in range(MOST - 2):
                await ask(raw)
            await seen(lambda: len(open_calls) == MOST, 10)
            assert [await why_not(server.address) for _ in range(3)] == [TOO_MANY] * 3
            async with health.stub(server.address) as service:
                assert (await service.Check(health.ANY, timeout=10)).status == health.SERVING
            await call.send([*chunks(sample_talk()[: 16_000 * 8].tobytes()), END])
            assert await call.to_the_end() is grpc.StatusCode.OK
            assert finals(call.events)
        await seen(lambda: not len(open_calls), 10)
        assert await why_not(server.address) == ""


async def test_one_tenant_takes_no_places_of_another(tmp_path: Path) -> None:
    file = tmp_path / "tokens.yaml"
    (acme, first), (other, second) = (tokens.make(name, "agent", None) for name in ("acme", "other"))
    file.write_text(first + second)
    async with (
        running_server({**FEW, "auth": {"tokens_file": str(file)}}) as server,
        RawGrpc(server.address, reads=False, window=0) as raw,
    ):
        for _ in range(MOST):
            await ask(raw, *shown(acme))
        await seen(lambda: len(server._grpc._admission.calls) == MOST, 10)
        assert await why_not(server.address, metadata=shown(acme)) == TOO_MANY
        assert await why_not(server.address, metadata=shown(other)) == ""
