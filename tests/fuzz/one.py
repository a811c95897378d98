"""Fuzz one target by coverage: `python -m tests.fuzz.one TARGET [FOLDER…] [libFuzzer's options]`.

Atheris notes which lines of ours an input reaches, and changes those further that reach new ones.
"""

from __future__ import annotations

import faulthandler
import signal
import sys
from contextlib import ExitStack
from typing import Final

import atheris

OURS: Final = ["affectstream", "affectstream_server", "google.protobuf.json_format", "yaml", "json"]
"""Whose lines count. Not those of the model, of numpy and of gRPC."""


def main() -> None:
    name = sys.argv.pop(1)
    faulthandler.register(signal.SIGUSR1)  # where it hangs, for whoever ends it
    with atheris.instrument_imports(include=OURS):
        from tests.fuzz.target import find

        target = find(name)
    with ExitStack() as stack:
        run = stack.enter_context(target.opened())
        change = target.mutate

        def mutate(data: bytes, max_size: int, seed: int) -> bytes:
            assert change is not None
            return change(data, max_size, seed, atheris.Mutate)

        options = {} if change is None else {"custom_mutator": mutate}
        atheris.Setup(sys.argv, run, **options)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
