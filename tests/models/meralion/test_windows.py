"""Audio of any length."""

from __future__ import annotations

import pytest
import torch

from affectstream_models.errors import ModelsError
from affectstream_models.meralion_windows import score, windows
from tests.models.meralion.helpers import SMALL, Samples, lively

WINDOW = SMALL.window_samples


@pytest.mark.parametrize("samples", [1, WINDOW - 1, WINDOW, WINDOW + 1, 3 * WINDOW, 10 * WINDOW + 7])
def test_windows_cover_all_of_it_once_in_equal_parts(samples: int) -> None:
    parts = windows(samples, WINDOW)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == samples
    lengths = {part.stop - part.start for part in parts}
    assert max(lengths) <= WINDOW
    assert max(lengths) - min(lengths) <= 1
    assert len(parts) == -(-samples // WINDOW)


def test_no_audio_is_refused() -> None:
    with pytest.raises(ModelsError, match="audio has 0 samples"):
        windows(0, WINDOW)


def test_short_audio_is_one_padded_window(talk: Samples) -> None:
    model, clip = lively(SMALL), torch.from_numpy(talk[: WINDOW // 2])
    affect = score(model, clip)
    with torch.inference_mode():
        out = model(torch.nn.functional.pad(clip, (0, WINDOW // 2))[None])
    assert torch.allclose(affect.probabilities, out.logits.softmax(1)[0])
    assert torch.allclose(affect.dims, out.dims[0])
    assert torch.allclose(affect.embedding, out.embedding[0])
    assert torch.allclose(affect.frame_attention, out.frame_attention[0, : SMALL.frames // 2])


def test_long_audio_is_combined_by_duration(talk: Samples) -> None:
    model, clip = lively(SMALL), torch.from_numpy(talk[: 2 * WINDOW + 1_001])
    affect = score(model, clip, batch=2)
    parts = windows(len(clip), WINDOW)
    alone = [score(model, clip[part]) for part in parts]
    shares = [(part.stop - part.start) / len(clip) for part in parts]
    for combined, each in ((affect.probabilities, 0), (affect.dims, 1), (affect.embedding, 2)):
        expected = sum(share * one[each] for share, one in zip(shares, alone, strict=True))
        assert torch.allclose(combined, torch.as_tensor(expected), atol=1e-6)
    assert affect.probabilities.sum() == pytest.approx(1)
    assert len(affect.frame_attention) == sum(len(one.frame_attention) for one in alone)
    assert not torch.allclose(alone[0].probabilities, alone[1].probabilities, atol=1e-3)


def test_precision_changes_the_encoders_products_only() -> None:
    model = lively(SMALL)
    exact = score(model, torch.randn(WINDOW, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert model.precision == "float32"
    assert model.set_precision("bf16").precision == "bf16"
    kept = {
        name: tensor.dtype for name, tensor in model.state_dict().items() if tensor.dtype != torch.float32
    }
    assert kept
    assert all("encoder" in name and "norm" not in name and "embed" not in name for name in kept)
    near = score(model, torch.randn(WINDOW, generator=torch.Generator().manual_seed(0)) * 0.1)
    assert 0 < (exact.probabilities - near.probabilities).abs().max() < 0.1
