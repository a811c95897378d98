"""`python -m tests.fuzz --seconds 60`: every target in turn, as many side by side as there are cores for.

Ends with 1 where an input was found that breaks something; it lies under ``build/fuzz`` then, and goes into
the target's file of `tests/fuzz/corpus` under a name that says what was wrong, once that is mended.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.fuzz import corpus
from tests.fuzz.record import Fuzzed
from tests.fuzz.target import NAMES, find
from tests.support import fault_page

FOLDER: Final = Path("build/fuzz")
_START_S: Final = 4.0
"""What a target takes to load with its lines counted."""
_HANG_S: Final = 120
_MEMORY_MB: Final = 2_048
_KEPT_BYTES: Final = 24 * 1024
"""Of a target's inputs that were found."""
_LAST_LINES: Final = 40


@dataclass(frozen=True)
class Outcome:
    """How a target's time went."""

    name: str
    inputs: int
    found: int
    memory_mb: int
    took_s: float
    fault: str
    """What it printed last, where an input broke something; empty: none did."""


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(NAMES)}; default: all")
    parser.add_argument("--seconds", type=float, default=60.0, help="in all; default: %(default)s")
    parser.add_argument("--keep", action="store_true", help="put what was found into the kept corpus")
    parser.add_argument("--record", action="store_true", help="write how it went into docs/reliability.md")
    args = parser.parse_args(arguments)
    names = args.targets or NAMES
    lanes = max(1, min(os.cpu_count() or 1, len(names), 4))
    each_s = max(1.0, args.seconds * lanes / len(names) - _START_S)
    with ThreadPoolExecutor(lanes) as pool:
        outcomes = list(pool.map(lambda name: fuzz(name, each_s), names))
    print(f"{'target':10} {'inputs':>9} {'a second':>9} {'kept':>6} {'MiB':>6}")
    for outcome in outcomes:
        rate = outcome.inputs / outcome.took_s
        print(f"{outcome.name:10} {outcome.inputs:9} {rate:9.0f} {outcome.found:6} {outcome.memory_mb:6}")
    for outcome in outcomes:
        if outcome.fault:
            print(f"\n== {outcome.name}: an input breaks it, see {FOLDER / outcome.name}\n{outcome.fault}")
    if args.keep:
        for name in names:
            keep(name)
    if args.record:
        fault_page.keep_fuzzed(recorded(outcomes))
    return 1 if any(outcome.fault for outcome in outcomes) else 0


def fuzz(name: str, seconds: float) -> Outcome:
    """Fuzz one target in a process of its own, beginning with its seeds and what is kept."""
    target, folder = find(name), FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    found = folder / "inputs"
    corpus.unpack({**target.seeds, **corpus.read(name)}, found)
    began = time.monotonic()
    options: dict[str, object] = {
        "max_total_time": round(seconds),
        "max_len": target.most_bytes,
        "len_control": 0,
        "timeout": _HANG_S,
        "rss_limit_mb": _MEMORY_MB,
        "print_final_stats": 1,
        "artifact_prefix": f"{folder}/",
    }
    if target.words:
        options["dict"] = words = folder / "words"
        words.write_text("".join(f'"{_escaped(word)}"\n' for word in target.words), encoding="ascii")
    text, code = _run(name, found, options, within_s=seconds + 3 * _HANG_S)
    stats = {key: int(value) for key, value in re.findall(r"stat::(\w+):\s*(\d+)", text)}
    return Outcome(
        name=name,
        inputs=stats.get("number_of_executed_units", 0),
        found=len(list(found.iterdir())),
        memory_mb=stats.get("peak_rss_mb", 0),
        took_s=time.monotonic() - began,
        fault=_told(text) if code else "",
    )


def recorded(outcomes: Sequence[Outcome]) -> dict[str, Fuzzed]:
    """What is kept of a long run."""
    date, commit = fault_page.now()
    return {
        one.name: Fuzzed(one.inputs, round(one.took_s), int(one.fault != ""), date, commit)
        for one in outcomes
    }


def keep(name: str) -> None:
    """Put the smallest of what was found into the kept corpus; the fuzzer has reduced them."""
    kept = corpus.read(name)
    named = {key: data for key, data in kept.items() if not key.startswith(corpus.FOUND)}
    begun_with = {*find(name).seeds.values(), *named.values()}
    fresh = {key: d for key, d in corpus.pack(FOLDER / name / "inputs").items() if d not in begun_with}
    news, size = {}, 0
    for key, data in sorted(fresh.items(), key=lambda item: len(item[1])):
        size += len(data)
        if size > _KEPT_BYTES:
            break
        news[key] = data
    corpus.write(name, {**named, **news})
    print(f"{name}: {len(news)} of {len(fresh)} inputs kept beside {len(begun_with)} seeds and cases")


def _run(name: str, inputs: Path, options: Mapping[str, object], within_s: float) -> tuple[str, int]:
    """What a fuzzer printed, and its exit status; one that does not end says where it hangs."""
    arguments = [f"-{key}={value}" for key, value in options.items()]
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fuzz.one", name, str(inputs), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    ) as process:
        try:
            printed, _ = process.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGUSR1)
            time.sleep(1)
            process.kill()
            printed, _ = process.communicate()
            printed += f"\nit did not end within {within_s:.0f} s\n".encode()
        return printed.decode("utf-8", "replace"), process.returncode


def _told(text: str) -> str:
    """The end of what a run printed, without how it came there."""
    lines = [
        line for line in text.splitlines() if not re.match(r"#\d+\t|INFO: |WARNING: Failed to find", line)
    ]
    return "\n".join(lines[-_LAST_LINES:])


def _escaped(word: str) -> str:
    return "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02X}" for byte in word.encode()
    )


if __name__ == "__main__":
    sys.exit(main())
