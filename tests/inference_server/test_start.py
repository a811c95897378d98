"""Not ready until a real Triton has proved itself; alive all the while."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
import pytest
import yaml
from grpc_health.v1 import health_pb2, health_pb2_grpc

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.edge.server import LIVENESS
from tests.inference_server.conftest import Bench
from tests.support.triton import Repository, clip, one_final_each, scorer_of, seen, serving
from tests.support.waiting import waiting
from tests.support.wire import audio, config, error_info, refusal, stream_talk, stub
from tools.triton.server import REPOSITORY, ROOT, Triton

NOT_SERVING = health_pb2.HealthCheckResponse.NOT_SERVING
SERVING = health_pb2.HealthCheckResponse.SERVING


async def health(address: str, service: str = "") -> int:
    async with grpc.aio.insecure_channel(address) as channel:
        health_stub: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health_stub.Check(health_pb2.HealthCheckRequest(service=service), timeout=5)
    return int(answer.status)


@pytest.mark.fault("Triton absent")
async def test_absent_at_start_then_there(own_triton: Triton, figure: Callable[[str], None]) -> None:
    async with serving(own_triton.address, ready=False) as server:
        slowest = 0.0
        for _ in range(5):
            async with waiting() as asked:
                error = await refusal(server.address, [config(), audio(bytes(640))])
                slowest = max(slowest, asked.seconds)
            assert error.code() is grpc.StatusCode.UNAVAILABLE
            assert error_info(error).reason == "MODEL_NOT_READY"
            assert own_triton.address not in str(error.details())
        assert slowest < 0.5
        assert await health(server.address) == NOT_SERVING
        assert await health(server.address, LIVENESS) == SERVING
        async with stub(server.address) as service:
            assert not (await service.GetServerInfo(pb.GetServerInfoRequest())).models

        await asyncio.to_thread(own_triton.start)
        waited = await seen(lambda: not server.pipeline.router.trouble, 10)
        assert await health(server.address) == SERVING
        assert len(one_final_each(await stream_talk(server.address, clip(8_000)))) > 0
    figure(f"refused while Triton never was, slowest of 5: {slowest * 1_000:.0f} ms (wanted: 100)")
    figure(f"ready after Triton is, first start: {waited:.2f} s (wanted: 2)")


@pytest.mark.fault("wrong answers")
@pytest.mark.parametrize(
    ("model", "why"),
    [
        ("three_labels", "labels.txt says neutral,happy,sad,"),
        ("other_order", "labels.txt says happy,neutral,sad,angry"),
        ("doubles", "LOGITS is TYPE_FP64"),
        ("nobody", "unknown model"),
        ("told:7", "version 7 is not found"),
    ],
)
async def test_a_model_that_breaks_the_contract_never_serves(
    bench: Bench, caplog: pytest.LogCaptureFixture, model: str, why: str
) -> None:
    async with serving(bench.triton.address, model, ready=False) as server:
        await seen(lambda: why in server.pipeline.router.trouble)
        error = await refusal(server.address, [config()])
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        assert await health(server.address, LIVENESS) == SERVING
    assert why in caplog.text


@pytest.mark.fault("wrong answers")
async def test_a_backend_that_answers_anything_the_same_is_found_by_the_canary(
    bench: Bench, told: Callable[[str], None]
) -> None:
    told("constant")
    async with serving(bench.triton.address, "told", ready=False) as server:
        await seen(lambda: "the known sound gave" in server.pipeline.router.trouble)
        told("well")
        await seen(lambda: not server.pipeline.router.trouble)
        told("constant")  # it breaks while it serves
        await seen(lambda: "the known sound gave" in server.pipeline.router.trouble)
        assert await health(server.address) == NOT_SERVING
        assert await health(server.address, LIVENESS) == SERVING
        told("well")
        await seen(lambda: not server.pipeline.router.trouble)
        assert await health(server.address) == SERVING


@pytest.mark.usefixtures("_installed")
async def test_without_a_known_answer_silence_must_sound_different(
    tmp_path: Path,
) -> None:
    models = Repository(tmp_path / "models")
    models.add(
        "unknown",
        (
            r'  \{\n    key: "affectstream.canary.1"(.|\n)*?\n  \}',
            '  { key: "x" value: { string_value: "" } }',
        ),
    )
    models.behave("unknown", "constant")
    triton = Triton(tmp_path / "triton.log", models=("unknown",), repositories=(models.folder,))
    try:
        await asyncio.to_thread(triton.start)
        async with serving(triton.address, "unknown", ready=False) as server:
            await seen(lambda: "silence and the known sound" in server.pipeline.router.trouble)
            models.behave("unknown", "well")
            await seen(lambda: not server.pipeline.router.trouble)
            assert scorer_of(server).model.labels == ("neutral", "happy", "sad", "angry")
    finally:
        triton.kill()


@pytest.mark.usefixtures("_installed")
async def test_a_python_backend_under_numpy_2_does_not_become_ready(tmp_path: Path) -> None:
    """The service's own environment has numpy 2: this build of the backend corrupts its tensors."""
    triton = Triton(tmp_path / "triton.log", environment=ROOT / ".venv")
    try:
        await asyncio.to_thread(triton.start)
        async with serving(triton.address, ready=False) as server:
            await seen(lambda: "was not asked" not in server.pipeline.router.trouble)
            await asyncio.sleep(1.5)
            trouble = server.pipeline.router.trouble
    finally:
        triton.kill()
    assert "the known sound gave" in trouble or "other bytes than its shape" in trouble


@pytest.mark.usefixtures("_installed")
def test_the_target_refuses_a_file_that_is_not_the_configured_one(tmp_path: Path) -> None:
    shutil.copytree(REPOSITORY / "affect_embedded", tmp_path / "models/affect_embedded")
    (tmp_path / "models/affect_embedded/1/model.onnx").write_bytes(b"another model")
    triton = Triton(tmp_path / "triton.log", repositories=(tmp_path / "models",))
    try:
        with pytest.raises(Exception, match="not the configured"):
            triton.start()
    finally:
        triton.stop()


@pytest.mark.usefixtures("_installed")
def test_a_real_triton_knows_the_options_of_the_compose_file(tmp_path: Path) -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
    ours = "--model-repository", "--model-control-mode"
    options = [option for option in compose["x-triton-options"] if not option.startswith(ours)]
    triton = Triton(tmp_path / "triton.log", options=options)
    try:
        triton.start()
    finally:
        triton.kill()
