"""Run a real Triton on this machine until it is told to stop, or for as long as a command takes.

    python tools/triton/run.py                                      ready on 127.0.0.1:…
    python tools/triton/run.py -- affectstream demo                 the service in the command uses it

With a command, AFFECTSTREAM_TRITON__ADDRESS and AFFECTSTREAM_TRITON__MODEL are set for it. SIGTERM and
Ctrl-C stop Triton.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from tools.triton.server import REPOSITORY, Triton, TritonFailed


def main(arguments: Sequence[str] | None = None) -> int:
    args = _parser().parse_args(arguments)
    args.log.parent.mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    triton = Triton(
        args.log,
        models=args.model or ["affect_embedded"],
        repositories=args.repository or [REPOSITORY],
        options=[f"--model-config-name={args.config_name}"] if args.config_name else [],
    )
    try:
        triton.start()
        sys.stderr.write(f"triton: ready on {triton.address}, log {args.log}\n")
        sys.stderr.flush()
        if args.command:
            return _run(args.command, triton)
        signal.pause()
    except TritonFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        return 0
    finally:
        triton.stop()
    return 0


def _run(command: Sequence[str], triton: Triton) -> int:
    variables = {
        "AFFECTSTREAM_TRITON__ADDRESS": triton.address,
        "AFFECTSTREAM_TRITON__MODEL": triton.models[0],
    }
    return subprocess.run(command, env={**os.environ, **variables}, check=False).returncode  # noqa: S603 - as asked


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--model", action="append", metavar="NAME", help="model to load; may be repeated (affect_embedded)"
    )
    parser.add_argument(
        "--repository", action="append", type=Path, metavar="DIR", help="model repository (triton_repo)"
    )
    parser.add_argument("--config-name", metavar="NAME", help="use configs/NAME.pbtxt of the models")
    parser.add_argument(
        "--log", type=Path, default=Path("runs/triton.log"), metavar="FILE", help="default: %(default)s"
    )
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run while Triton is up")
    return parser


if __name__ == "__main__":
    sys.exit(main())
