"""Speed of MERaLiON-SER on one CUDA GPU: `python bench/gpu.py [--out FILE.json]`.

Needs torch ≥ 2.11 with CUDA and this project's `models` extra; it reads no checkpoint and no
audio, since neither changes the speed. For each batch size it times the network eager, compiled,
as CUDA graphs, and compiled as CUDA graphs, all with the encoder's products in bf16 and all else
in true float32, and prints them as a share of the bf16 matrix rate that this very card reached
in the same run. Weights are random: nothing it prints says anything about quality.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from affectstream_models.frontend import FFT_SAMPLES
from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import MeralionConfig
from affectstream_models.meralion_cuda import GraphedModel
from affectstream_models.meralion_triton import use_true_float32

BATCHES = (1, 4, 8, 16, 32)
GOAL_SHARE = 0.60
GOAL_BATCH = 16
MATRIX_SIDES = (4096, 8192, 16384)


@dataclass(frozen=True, slots=True)
class Row:
    """One mode at one batch size."""

    mode: str
    batch: int
    latency_ms: float
    """Median of one batch, tensors already on the card."""
    p99_ms: float
    utterances_per_s: float
    share: float
    """Of the card's measured bf16 matrix rate, 0..1."""


def flops(config: MeralionConfig) -> float:
    """Floating-point operations of one window: 1.15 TFLOP for the published size."""
    frames, width, channels = config.frames, config.width, config.channels
    spectrum = 2 * frames * FFT_SAMPLES * (FFT_SAMPLES + 2) * 2
    stem = 2 * (2 * frames) * config.mel_bands * 3 * width + 2 * frames * width * 3 * width
    products = 2 * frames * width * (4 * width + 2 * config.feed_forward)
    attention = 2 * 2 * frames * frames * width
    chunk = channels // config.chunks
    block = 2 * frames * (2 * channels * channels + (config.chunks - 1) * 3 * chunk * chunk)
    mixing = 2 * frames * channels * channels * (1 + len(config.dilations))
    scales = 2 * frames * channels * channels // config.kernel_groups * sum(config.kernels)
    head = 2 * frames * width * channels + len(config.dilations) * block + mixing + scales
    return float(spectrum + stem + config.layers * (products + attention) + head)


def times_ms(call: Callable[[], Any], seconds: float) -> list[float]:
    """Durations of one call each, in order, for about `seconds`; the first few are thrown away."""
    for _ in range(5):
        call()
    found: list[float] = []
    while sum(found) < seconds * 1_000 or len(found) < 10:
        start, stop = _event(), _event()
        start.record()
        call()
        stop.record()
        stop.synchronize()
        found.append(start.elapsed_time(stop))
    return sorted(found)


def _event() -> Any:
    return torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]


def median(values: list[float]) -> float:
    """Middle of sorted values."""
    return values[len(values) // 2]


def matrix_rate(seconds: float) -> float:
    """The best bf16 rate of square products that this card reaches, in FLOP/s."""
    best = 0.0
    for side in MATRIX_SIDES:
        a = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
        b = torch.randn(side, side, device="cuda", dtype=torch.bfloat16)
        out = torch.empty_like(a)
        took_ms = median(times_ms(lambda a=a, b=b, out=out: torch.mm(a, b, out=out), seconds))  # type: ignore[misc]
        best = max(best, 2 * side**3 / (took_ms / 1_000))
    return best


def modes(model: MeralionSer, batch: int) -> Iterator[tuple[str, Callable[[torch.Tensor], Any]]]:
    """Each way to run the network, made just before it is timed."""
    yield "eager", model
    compiled: Any = torch.compile(model, dynamic=False)
    yield "compiled", compiled
    window = model.config.window_samples
    yield "CUDA graph", GraphedModel(model, window, (batch,))
    yield "compiled, CUDA graph", GraphedModel(compiled, window, (batch,))


@torch.inference_mode()
def measure(seconds: float, say: Callable[[str], Any]) -> dict[str, Any]:
    """Every mode at every batch size, and what it was measured on."""
    use_true_float32()
    torch.manual_seed(0)
    config = MeralionConfig()
    model = MeralionSer(config).set_precision("bf16").to("cuda")
    say("bf16 matrix rate\n")
    rate = matrix_rate(seconds)
    rows = []
    for batch in BATCHES:
        audio = torch.randint(-3_000, 3_000, (batch, config.window_samples), dtype=torch.int16, device="cuda")
        for mode, run in modes(model, batch):
            say(f"batch {batch}: {mode}\n")
            found = times_ms(lambda run=run, audio=audio: run(audio), seconds)  # type: ignore[misc]
            per_second = batch / (median(found) / 1_000)
            share = per_second * flops(config) / rate
            rows.append(Row(mode, batch, median(found), found[int(len(found) * 0.99)], per_second, share))
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "card": torch.cuda.get_device_name(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda,
        },
        "bf16_matrix_tflops": rate / 1e12,
        "tflop_per_utterance": flops(config) / 1e12,
        "rows": [asdict(row) for row in rows],
    }


def table(report: dict[str, Any]) -> str:
    """The report as Markdown."""
    lines = [
        f"{report['date']}, {report['card']}, torch {report['versions']['torch']}, random weights: "
        f"{report['tflop_per_utterance']:.2f} TFLOP an utterance, bf16 products "
        f"{report['bf16_matrix_tflops']:.0f} TFLOP/s.",
        "",
        "| mode | batch | median ms | p99 ms | utterances/s | share of matrix rate |",
        "| --- | --: | --: | --: | --: | --: |",
    ]
    lines += [
        f"| {row['mode']} | {row['batch']} | {row['latency_ms']:.2f} | {row['p99_ms']:.2f} | "
        f"{row['utterances_per_s']:.1f} | {row['share']:.0%} |"
        for row in report["rows"]
    ]
    best = max(row["share"] for row in report["rows"] if row["batch"] == GOAL_BATCH)
    verdict = "met" if best >= GOAL_SHARE else "missed"
    lines += ["", f"Goal of {GOAL_SHARE:.0%} at batch {GOAL_BATCH}: {verdict} with {best:.0%}."]
    return "\n".join(lines)


def main() -> int:
    """Measures, prints the table, and writes the JSON where asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, help="write the figures as JSON")
    parser.add_argument("--seconds", type=float, default=3.0, help="for each figure (%(default)s)")
    args = parser.parse_args()
    if not torch.cuda.is_available():
        print("no CUDA GPU here: nothing was measured", file=sys.stderr)
        return 2
    report = measure(args.seconds, sys.stderr.write)
    print(table(report))
    if args.out:
        args.out.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
