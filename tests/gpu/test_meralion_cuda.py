"""The network on a CUDA GPU: what serves there against float32 on the CPU."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is in the models environment only")
if not torch.cuda.is_available():
    pytest.skip("needs a CUDA GPU", allow_module_level=True)

from affectstream_models.meralion_config import MeralionConfig  # noqa: E402
from affectstream_models.meralion_cuda import GraphedModel  # noqa: E402
from affectstream_models.meralion_triton import scorer, use_true_float32  # noqa: E402
from tests.models.meralion.helpers import SMALL, lively  # noqa: E402


def noise(rows: int, samples: int) -> Any:
    return torch.randint(-3_000, 3_000, (rows, samples), dtype=torch.int16)


@pytest.mark.timeout(300)
@pytest.mark.parametrize("config", [SMALL, MeralionConfig()], ids=["small", "published size"])
def test_float32_on_the_gpu_is_float32_on_the_cpu(config: MeralionConfig) -> None:
    use_true_float32()
    model, audio = lively(config), noise(2, config.window_samples)
    with torch.inference_mode():
        expected = model(audio)
        found = model.to("cuda")(audio.cuda())
    assert (found.logits.cpu() - expected.logits).abs().max() < 1e-3
    assert (found.dims.cpu() - expected.dims).abs().max() < 1e-4


def test_the_front_end_keeps_true_float32() -> None:
    use_true_float32()
    model, audio = lively(SMALL), noise(1, SMALL.window_samples) // 100
    with torch.inference_mode():
        expected = model.frontend(audio)
        found = model.to("cuda").frontend(audio.cuda()).cpu()
    assert (found - expected).abs().max() < 1e-4


@pytest.mark.parametrize("rows", [1, 3, 4])
def test_a_graph_answers_as_the_eager_network_does(rows: int) -> None:
    use_true_float32()
    model = lively(SMALL).set_precision("bf16").to("cuda")
    graphed = GraphedModel(model, SMALL.window_samples, (1, 4))
    for _ in range(2):
        audio = noise(rows, SMALL.window_samples).cuda()
        with torch.inference_mode():
            expected = model(audio)
        for ours, theirs in zip(graphed(audio), expected, strict=True):
            assert (ours - theirs).abs().max() < 1e-2


def test_what_serves_is_near_float32() -> None:
    audio = noise(3, SMALL.window_samples)
    with torch.inference_mode():
        expected = lively(SMALL)(audio)
    found = scorer(lively(SMALL), "cuda:0")(audio.cuda())
    assert (found.dims.cpu() - expected.dims).abs().max() < 0.1
