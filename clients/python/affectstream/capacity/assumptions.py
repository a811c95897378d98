"""What the estimate takes for granted, each with where it is from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Final


def _assumed(default: float, unit: str, source: str) -> Any:
    return field(default=default, metadata={"unit": unit, "source": source})


@dataclass(frozen=True, slots=True)
class Assumptions:
    """Of a call, a server and what is around them."""

    message_bytes: float = _assumed(
        134,
        "bytes",
        "around a message's audio: protobuf 8, gRPC 5, HTTP/2 9, TLS 22, TCP and IP 52, Ethernet 38",
    )
    events: float = _assumed(3, "an utterance", "speech_started, speech_ended and the final affect")
    progress: float = _assumed(1, "events a second", "outputs.progress_interval_ms at its default")
    event_bytes: float = _assumed(250, "bytes", "the mean of a talk's events, 172, with a watcher's cursor")
    process_mib: float = _assumed(128, "MiB", "resident memory of a server process before its first call")
    core_share: float = _assumed(0.7, "of a core", "the rest is for bursts, and for a process that is gone")
    link_gbit_s: float = _assumed(25, "Gbit/s", "a usual server's network card; at most 70 % of it are used")
    objective_ms: float = _assumed(150, "ms", "99 % of finals after the endpoint: docs/slo.md")
    window_flop: float = _assumed(1.15e12, "FLOP", "one window of MERaLiON-SER: bench/gpu.py, flops()")
    window_bytes: float = _assumed(1_920_000, "bytes", "its 480,000 samples, FP32: triton_repo/meralion_ser")


DEFAULTS: Final = Assumptions()


def sources() -> Mapping[str, tuple[str, str]]:
    """Unit and source of each assumption, by its name."""
    return {one.name: (one.metadata["unit"], one.metadata["source"]) for one in fields(Assumptions)}


@dataclass(frozen=True, slots=True)
class Gpu:
    """A card by its data sheet: nothing of it was measured."""

    bf16_flop_s: float
    """Of dense matrix products, at most."""
    name: str


GPUS: Final = {
    "h100": Gpu(989e12, "NVIDIA H100 SXM"),
    "h200": Gpu(989e12, "NVIDIA H200 SXM"),
    "a100": Gpu(312e12, "NVIDIA A100 SXM"),
    "l40s": Gpu(362e12, "NVIDIA L40S"),
    "l4": Gpu(121e12, "NVIDIA L4"),
}
REACHED: Final = (0.2, 0.45)
"""Share of the data sheet's rate that the model reaches in large batches: an assumption.

The most is the goal of docs/engine.md, 60 % of what products reach by themselves, where those reach three
quarters of the data sheet's; the least is less than half of that.
"""
