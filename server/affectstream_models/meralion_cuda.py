"""The network as CUDA graphs: one launch a batch instead of some nine hundred.

Shared by the Triton target and by `bench/gpu.py`, so that what is measured is what serves. It
needs a CUDA GPU: `tests/gpu` compares it with the eager network where there is one.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from typing import Any, Final

import torch
from torch import Tensor, nn

from affectstream_models.meralion_config import MeralionOutput

BATCHES: Final = (1, 2, 4, 8, 16, 32)
_WARM_UPS: Final = 3


def fitting(batches: Sequence[int], rows: int) -> int:
    """The smallest of the ascending `batches` that holds `rows`.

    Raises:
        ValueError: when none does.
    """
    position = bisect_left(batches, rows)
    if position == len(batches):
        raise ValueError(f"a batch of {rows} rows is larger than the largest graph, {batches[-1]}")
    return batches[position]


class GraphedModel:
    """Replays a captured forward pass; a batch is padded to the next captured size.

    Args:
        model: on a CUDA device, in evaluation mode, taking int16 `[B, window_samples]`.
        window_samples: length of a window.
        batches: ascending sizes to capture, all at once, in one memory pool.
    """

    def __init__(self, model: nn.Module, window_samples: int, batches: Sequence[int] = BATCHES) -> None:
        self._batches = tuple(batches)
        self._pool: Any = None
        self._captured: dict[int, tuple[torch.cuda.CUDAGraph, Tensor, MeralionOutput]] = {}
        # The largest first: the smaller ones then fit into the memory it left in the pool.
        for batch in reversed(self._batches):
            audio = torch.zeros(batch, window_samples, dtype=torch.int16, device="cuda")
            self._captured[batch] = self._capture(model, audio)

    @torch.inference_mode()
    def _capture(
        self, model: nn.Module, audio: Tensor
    ) -> tuple[torch.cuda.CUDAGraph, Tensor, MeralionOutput]:
        side: Any = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(_WARM_UPS):
                model(audio)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self._pool):
            out: MeralionOutput = model(audio)
        self._pool = graph.pool()
        return graph, audio, out

    @torch.inference_mode()
    def __call__(self, audio: Tensor) -> MeralionOutput:
        """Scores int16 `[B, window_samples]`, B up to the largest captured batch; outputs are copies."""
        rows = audio.shape[0]
        graph, static, out = self._captured[fitting(self._batches, rows)]
        static[:rows].copy_(audio)
        graph.replay()
        return MeralionOutput(*(tensor[:rows].clone() for tensor in out))
