"""Check a deployment end to end: the way to it, its certificate, its answers, and what stands around it.

Each check says ok, warn, fail or skip, what is wrong, and how to mend it. A short synthetic talk is analysed,
streamed and watched; nothing is changed.

Exit status: 0 nothing failed; 1 a check failed; 2 wrong usage.
"""

from __future__ import annotations

import argparse
import json
import math
import os
from importlib.resources import as_file, files

import numpy as np

from affectstream import environment
from affectstream.commands import InputError, access, missing_extra
from affectstream.commands.playback import run_async
from affectstream.doctor.examine import Patient, examine
from affectstream.doctor.findings import Report
from affectstream.doctor.service import Samples
from affectstream.timeouts import Timeouts

_SECONDS = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream doctor`."""
    parser.add_argument(
        "address", nargs="?", default="127.0.0.1:50551", metavar="HOST:PORT", help="default: %(default)s"
    )
    parser.add_argument("--json", action="store_true", help="one JSON object in place of lines")
    parser.add_argument(
        "--deadline", type=_seconds, default=5.0, metavar="S", help="for each answer (default: %(default)g)"
    )
    parser.add_argument(
        "--metrics", default="", metavar="HOST:PORT", help="the server's telemetry.metrics_address"
    )
    parser.add_argument("--collector", default="", metavar="URL", help="the server's telemetry.traces")
    parser.add_argument("--bridge", default="", metavar="URL", help="a bridge, such as http://127.0.0.1:8080")
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Look at everything, and say it."""
    host, _, port = args.address.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) <= 65_535:
        raise InputError(f"address: got {args.address!r}, expected HOST:PORT such as 127.0.0.1:50551")
    for option in ("collector", "bridge"):
        if (url := getattr(args, option)) and not url.startswith(("http://", "https://")):
            raise InputError(f"--{option}: got {url!r}, expected http://… or https://…")
    return run_async(_examine(args))


async def _examine(args: argparse.Namespace) -> int:
    limit = args.deadline
    patient = Patient(
        address=args.address,
        tls=access.tls(args),
        client=access.client(
            args.address, args, Timeouts(connect_s=limit, session_start_s=limit, call_s=limit, idle_s=limit)
        ),
        has_token=bool(
            args.token_file or os.environ.get(environment.TOKEN_FILE) or os.environ.get(environment.TOKEN)
        ),
        sound=_sound(),
        deadline_s=limit,
        metrics=args.metrics.removeprefix("http://").removesuffix("/metrics"),
        collector=args.collector,
        bridge=args.bridge,
    )
    report = Report(args.address, tuple([finding async for finding in examine(patient)]))
    print(json.dumps(report.as_dict(), indent=1, ensure_ascii=False) if args.json else report.text())
    return 0 if report.ok else 1


def _sound() -> Samples:
    """The first seconds of the bundled talk."""
    try:
        import soundfile
    except ImportError as error:
        raise missing_extra("cli", error.name) from None
    with as_file(files("affectstream") / "samples" / "talk.flac") as file:
        samples, rate = soundfile.read(file, dtype="int16")
    return np.asarray(samples[: _SECONDS * rate], dtype=np.int16)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds <= 600 or math.isnan(seconds):
        raise argparse.ArgumentTypeError(f"expected above 0 and at most 600 seconds, not {text}")
    return seconds
