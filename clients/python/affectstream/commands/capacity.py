"""Estimate what some number of concurrent calls takes: server processes, GPUs, memory, network, Redis.

The estimate rests on figures that the bench measured on one machine, and on assumptions that --json names
with their sources. Of GPUs it has data sheets only and gives a range, unless --gpu is a file of bench/gpu.py.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import replace
from pathlib import Path

from affectstream.capacity import figures, gpu, text
from affectstream.capacity.assumptions import DEFAULTS, GPUS, Assumptions, sources
from affectstream.capacity.estimate import Estimate, Plan, as_dict, estimate
from affectstream.capacity.fit import fit
from affectstream.capacity.shipped import shipped
from affectstream.commands import InputError

_MOST_CALLS = 1_000_000_000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream capacity`."""
    parser.add_argument(
        "--calls", type=_calls, nargs="+", required=True, metavar="N", help="at once; several: in turn"
    )
    parser.add_argument(
        "--frame-ms",
        type=int,
        choices=(10, 20, 40, 60, 100),
        default=100,
        help="audio in a message (default: %(default)s)",
    )
    parser.add_argument(
        "--gpu",
        default="h100",
        metavar="CARD",
        help=f"{', '.join(GPUS)}, a file that bench/gpu.py --out wrote, or none: the embedded model in the "
        "server (default: %(default)s)",
    )
    parser.add_argument(
        "--utterances-per-minute", type=_rate, metavar="N", help="of a call (default: as the bench's talks)"
    )
    parser.add_argument(
        "--core-share",
        type=_share,
        default=DEFAULTS.core_share,
        metavar="S",
        help="of each core that is used, above 0 to 0.95 (default: %(default)g)",
    )
    parser.add_argument(
        "--figures",
        type=Path,
        metavar="FILE",
        help="a latest.json of your own bench (default: figures that came with this version)",
    )
    parser.add_argument("--bus", type=Path, metavar="FILE", help="with it, what bench.bus wrote")
    parser.add_argument("--json", action="store_true", help="one JSON object in place of a table")


def run(args: argparse.Namespace) -> int:
    """Estimate, and say it."""
    try:
        if args.bus and not args.figures:
            raise InputError(
                "--bus: expected with --figures; the figures that came with this version hold it"
            )
        if args.figures:
            found = figures.read(args.figures, args.bus)
            costs = fit(found)
        else:
            found, costs = shipped()
        if args.utterances_per_minute:
            found = replace(found, utterances_per_minute=args.utterances_per_minute)
        plan = replace(gpu.plan(args.gpu), frame_ms=args.frame_ms)
    except figures.FiguresError as error:
        raise InputError(str(error)) from None
    assumed = replace(DEFAULTS, core_share=args.core_share)
    estimates = [estimate(calls, found, costs, plan, assumed) for calls in args.calls]
    if args.json:
        print(
            json.dumps({"figures": found.measured, "assumptions": _assumed(assumed)} | _said(plan, estimates))
        )
        return 0
    print(text.table(estimates))
    said = (f"Figures: {found.measured}.", text.busy_said(found).replace("**", ""), text.gpu_said(plan))
    print("\n" + "\n".join(line for line in said if line))
    return 0


def _said(plan: Plan, estimates: list[Estimate]) -> dict[str, object]:
    return {"gpu": plan.gpu.name if plan.gpu else None, "estimates": [as_dict(one) for one in estimates]}


def _assumed(assumed: Assumptions) -> dict[str, object]:
    return {
        name: {"value": getattr(assumed, name), "unit": unit, "source": source}
        for name, (unit, source) in sources().items()
    }


def _calls(given: str) -> int:
    calls = int(given.replace(",", "").replace("_", ""))
    if not 1 <= calls <= _MOST_CALLS:
        raise argparse.ArgumentTypeError(f"expected 1 to {_MOST_CALLS:,} calls, not {given}")
    return calls


def _rate(given: str) -> float:
    rate = float(given)
    if not 0 < rate <= 120:
        raise argparse.ArgumentTypeError(f"expected above 0 and at most 120 utterances a minute, not {given}")
    return rate


def _share(given: str) -> float:
    share = float(given)
    if not 0 < share <= 0.95:
        raise argparse.ArgumentTypeError(f"expected above 0 and at most 0.95 of a core, not {given}")
    return share
