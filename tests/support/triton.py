"""Real Tritons for tests, with models that misbehave when they are told to."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.lifecycle import Server
from affectstream_server.scoring.fallback import WithFallback
from affectstream_server.scoring.scorer import ServedScorer
from affectstream_server.scoring.triton import TritonScorer
from tests.support.speech import sample_talk
from tests.support.waiting import waiting
from tests.support.wire import finals, of_kind, running_server
from tools.triton.server import REPOSITORY

_MODEL: Final = '''\
"""The embedded model, but as the file `behaviour` beside its configuration says."""

import os
import time
from pathlib import Path

import numpy as np
import triton_python_backend_utils as pb_utils
from affectstream_server.scoring.triton_target import TritonTarget


class Target(TritonTarget):
    how = "well"
    scored = None

    def _response(self, parts):
        with self.scored.open("a") as scored:
            scored.write("1")
        logits, dims, embedding = parts
        if self.how == "nan":
            logits = np.full_like(logits, np.nan)
        elif self.how == "shape":
            logits = logits[:, :-1].copy()
        elif self.how == "range":
            dims = dims + 1.0
        elif self.how == "constant":
            logits, dims = np.ones_like(logits), np.full_like(dims, 0.5)
        return super()._response((logits, dims, embedding))


class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"])
        self._told = [folder / f"behaviour.{args['model_version']}", folder / "behaviour"]
        self._target = Target(args, pb_utils)
        self._target.scored = folder / "scored"

    def execute(self, requests):
        told = next(path for path in self._told if path.exists())
        how, _, argument = told.read_text().partition(" ")
        if how == "sleep":
            time.sleep(float(argument))
        elif how == "crash":
            os._exit(1)
        elif how == "raise":
            raise ValueError("secret detail")
        self._target.how = how
        return self._target.execute(requests)
'''

ATTENTIVE: Final = (
    _MODEL.replace("Target(args, pb_utils)", "Attentive(args, pb_utils)")
    + '''

class Attentive(Target):
    """Looks where it is loud, and a little at everything else, be it padding."""

    def _run(self, audio, num_samples):
        answers = super()._run(audio, num_samples)
        return [self._with_attention(*pair) for pair in zip(answers, audio)]

    def _with_attention(self, answer, audio):
        looked = (audio[0].astype(np.float32).reshape(-1, 320) ** 2).mean(axis=1) + 10_000
        if self.how == "frames":
            looked = looked[1:]
        row = (looked / looked.sum()).astype(np.float32)[np.newaxis]
        tensors = [*answer.output_tensors(), pb_utils.Tensor("FRAME_ATTENTION", row)]
        return pb_utils.InferenceResponse(output_tensors=tensors)
'''
)
"""A model that says where it looked."""


class Repository:
    """A model repository of a test's own, whose models are the embedded one with a twist."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(
        self, name: str, *changes: tuple[str, str], labels: str | None = None, model: str = _MODEL
    ) -> None:
        """A model; ``changes`` are replacements (pattern, text) in the rendered configuration."""
        place = self.folder / name
        original = REPOSITORY / "affect_embedded"
        config = (original / "config.pbtxt").read_text().replace('"affect_embedded"', f'"{name}"')
        for pattern, text in changes:
            config, found = re.subn(pattern, text, config)
            assert found, f"{pattern} is not in the configuration"
        (place / "1").mkdir(parents=True)
        (place / "config.pbtxt").write_text(config)
        (place / "labels.txt").write_text(labels or (original / "labels.txt").read_text())
        (place / "1/model.py").write_text(model)
        self.behave(name, "well")
        (place / "scored").touch()

    def add_version(self, name: str, version: str) -> None:
        """One more version of a model, the same file under another number."""
        folder = self.folder / name / version
        folder.mkdir()
        (folder / "model.py").write_text(_MODEL)

    def scored(self, name: str) -> int:
        """How many utterances a model has computed."""
        return len((self.folder / name / "scored").read_text())

    def behave(self, name: str, how: str, version: str = "") -> None:
        """well, nan, shape, range, constant, frames, raise, crash or "sleep SECONDS", from the next request.

        Of all versions, or of one.
        """
        (self.folder / name / (f"behaviour.{version}" if version else "behaviour")).write_text(how)


@asynccontextmanager
async def serving(
    address: str, model: str = "affect_embedded", *, ready: bool = True, **sections: Mapping[str, Any]
) -> AsyncIterator[Server]:
    """Our server in front of the Triton at ``address``, with short looks; waits until it is ready."""
    triton = {"address": address, "model": model, "canary_s": 0.5, "canary_timeout_ms": 500}
    overrides: dict[str, dict[str, Any]] = {key: dict(values) for key, values in sections.items()}
    overrides["triton"] = triton | overrides.get("triton", {})
    async with running_server(overrides) as server:
        if ready:
            await seen(lambda: not server.pipeline.router.trouble)
        yield server


async def seen(happened: Any, timeout_s: float = 30.0) -> float:
    """Wait until ``happened()`` is true; the seconds that took. Fails after ``timeout_s`` of waiting."""
    import asyncio

    began = time.perf_counter()
    async with waiting() as waited:
        while not happened():
            assert waited.seconds < timeout_s, "it did not happen"
            await asyncio.sleep(0.01)
    return time.perf_counter() - began


def scorer_of(server: Server) -> TritonScorer:
    """The default model's scorer, without its fallback."""
    scorer: ServedScorer = server.pipeline.router.default
    if isinstance(scorer, WithFallback):
        scorer = scorer._first  # the test looks behind the fallback
    assert isinstance(scorer, TritonScorer)
    return scorer


def clip(milliseconds: int, start_ms: int = 300) -> NDArray[np.int16]:
    """Speech of a length, from the bundled talk."""
    talk = sample_talk()
    return talk[start_ms * 16 : (start_ms + milliseconds) * 16]


def one_final_each(events: list[pb.SessionEvent]) -> list[pb.AffectEvent]:
    """The finals, after a check that every utterance has exactly one, in order, and the stream ended."""
    started = [event.utterance_id for event in of_kind(events, "speech_started")]
    ended = finals(events)
    assert [event.utterance_id for event in ended] == started
    assert [event.sequence for event in events] == list(range(1, len(events) + 1))
    assert of_kind(events, "session_closed")
    return ended
