"""`affectstream-models build`: a typed ONNX graph to the TensorRT engine that Triton serves.

It runs inside the image where the engine will serve, since a plan belongs to one TensorRT and one
GPU architecture. Nothing is installed before the new engine has agreed with the float32 graph on
real speech at every batch size, and installing is one step: a build that fails or is interrupted
leaves the old engine serving.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from affectstream_models import engine_graph, engine_plan, engine_tensorrt
from affectstream_models.dataset import AUDIO_ENV, audio_folder
from affectstream_models.engine_plan import PlanRecord, Platform
from affectstream_models.errors import ModelsError
from affectstream_models.meralion_card import NAME, VERSION, card_sha256
from affectstream_models.parity import Audio, Parity, Scores, budget_of, compare, run_onnx, speech_windows

Say = Callable[[str], Any]


class Backend(Protocol):
    """What a build needs of TensorRT; `engine_tensorrt` is the one there is."""

    def platform(self) -> Platform:
        """TensorRT and the GPU of this machine."""

    def build(self, onnx: Path, window_samples: int, timing_cache: bytes, say: Say) -> tuple[bytes, bytes]:
        """Plan and timing cache."""

    def run(self, plan: bytes, audio: Audio, profile: int) -> Scores:
        """Scores of int16 windows with one of the plan's profiles."""


@dataclass(frozen=True, slots=True)
class Request:
    """One build."""

    onnx: Path
    """The typed graph, AUDIO in float32."""
    reference: Path
    """The float32 graph of the same weights."""
    speech: Path
    """Folder of 16 kHz mono speech."""
    folder: Path
    """`triton_repo/meralion_ser/<version>`."""
    timing_cache: Path
    windows: int = 64
    """Windows of speech to compare on."""


def build(request: Request, backend: Backend, say: Say) -> PlanRecord:
    """Builds, compares, installs; returns what the manifest now says.

    Raises:
        ModelsError: from the first step that fails; the old engine, if there is one, still serves.
    """
    facts = _check_pair(request)
    here = backend.platform()
    engine_plan.require_writable(request.folder, 2 * request.onnx.stat().st_size)
    speech = speech_windows(request.speech, request.windows, facts.window_samples)
    say(f"building for TensorRT {here.tensorrt} on {here.gpu} ({here.architecture}): some minutes\n")
    known_timings = request.timing_cache.read_bytes() if request.timing_cache.is_file() else b""
    plan, timings = backend.build(request.onnx, facts.window_samples, known_timings, say)
    _keep(request.timing_cache, timings, say)
    say(f"comparing with the float32 graph on {len(speech)} windows of speech: this one runs on the CPU\n")
    reference = run_onnx(request.reference, speech)
    parity = require_parity(
        reference, lambda profile: backend.run(plan, speech, profile), facts.precision, say
    )
    record = PlanRecord(
        plan_sha256=engine_plan.sha256_of(plan),
        platform=here,
        precision=facts.precision,
        source_sha256=facts.source_sha256,
        onnx_sha256=engine_plan.sha256(request.onnx),
        card_sha256=card_sha256(),
        batches=engine_graph.BATCHES,
        built_on=datetime.now(UTC).date().isoformat(),
        parity=parity.to_json(),
    )
    engine_plan.install(request.folder, plan, record)
    return record


def _keep(timing_cache: Path, timings: bytes, say: Say) -> None:
    """Timings only make the next build faster, so a build does not fail for them."""
    try:
        timing_cache.write_bytes(timings)
    except OSError as error:
        say(f"{timing_cache}: timings not kept ({error.strerror}); the next build takes as long\n")


def _check_pair(request: Request) -> engine_graph.Facts:
    facts, reference = engine_graph.check(request.onnx), engine_graph.check(request.reference)
    if facts.audio != "float32":
        raise ModelsError(
            f"{request.onnx}: AUDIO is {facts.audio}, which TensorRT lacks; export with --audio float32"
        )
    if reference.precision != "float32":
        raise ModelsError(f"{request.reference}: is {reference.precision}; the reference must be float32")
    if reference.source_sha256 != facts.source_sha256:
        raise ModelsError(f"{request.onnx} and {request.reference} hold different weights; export both again")
    return facts


def require_parity(
    reference: Scores, run_profile: Callable[[int], Scores], precision: str, say: Say
) -> Parity:
    """Holds every profile's scores to the card's budget; returns the worst figures of all of them.

    Raises:
        ParityError: for the first profile that is out of budget.
    """
    found = []
    for profile, batch in enumerate(engine_graph.BATCHES):
        parity = compare(reference, run_profile(profile))
        say(f"  batch {batch}: {parity}\n")
        parity.require(budget_of(precision))
        found.append(parity)
    return Parity(
        windows=len(reference.logits),
        argmax_agreement=min(parity.argmax_agreement for parity in found),
        max_probability_delta=max(parity.max_probability_delta for parity in found),
        max_dim_delta=max(parity.max_dim_delta for parity in found),
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options of `affectstream-models build`."""
    parser.description = (
        "Compile an exported graph of MERaLiON-SER to a TensorRT engine, compare it with float32 on real "
        "speech, and install it. Run it inside the image where the engine will serve."
    )
    parser.add_argument("--onnx", type=Path, help="typed graph: export --precision bf16 --audio float32")
    parser.add_argument("--reference", type=Path, help="float32 graph of the same weights")
    parser.add_argument("--speech", type=Path, help=f"folder of 16 kHz mono speech (else {AUDIO_ENV})")
    parser.add_argument(
        "--repository", type=Path, default=Path("triton_repo"), help="model repository (%(default)s)"
    )
    parser.add_argument("--version", default=VERSION, help="version folder to install into (%(default)s)")
    parser.add_argument("--timing-cache", type=Path, help="kept between builds (in the model's folder)")
    parser.add_argument(
        "--windows", type=int, default=64, help="windows of speech to compare on (%(default)s)"
    )
    parser.add_argument(
        "--check", action="store_true", help="build nothing: may the installed engine serve here?"
    )


def run(args: argparse.Namespace, backend: Backend = engine_tensorrt, say: Say = sys.stderr.write) -> int:
    """Builds and installs, or checks what is installed; errors rise as `ModelsError`."""
    model = args.repository / NAME
    folder = model / args.version
    if args.check:
        record = engine_plan.verify(folder, backend.platform())
        say(f"{folder}: {record.precision} engine for TensorRT {record.platform.tensorrt}, may serve here\n")
        return 0
    if args.onnx is None or args.reference is None:
        raise ModelsError(
            "--onnx and --reference are both needed: write them with `affectstream-models export`"
        )
    request = Request(
        onnx=args.onnx,
        reference=args.reference,
        speech=args.speech or audio_folder(None),
        folder=folder,
        timing_cache=args.timing_cache or model / "timing.cache",
        windows=args.windows,
    )
    record = build(request, backend, say)
    say(f"installed {folder / engine_plan.PLAN}: {record.precision}, {record.plan_sha256[:12]}…\n")
    return 0
