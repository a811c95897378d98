"""Finals on the server's own way from the endpoint to their bytes, with scores that are made up."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

import numpy as np

from affectstream.contract import EMOTIONS
from affectstream_server.errors import ServiceError
from affectstream_server.guidance import Advisor, open_policy
from affectstream_server.quotas import Quotas
from affectstream_server.real_time import RealTime
from affectstream_server.scoring.load import Load, Ticket
from affectstream_server.scoring.router import Router
from affectstream_server.scoring.scorer import ModelInfo, Score, checked_score
from affectstream_server.settings import Settings
from affectstream_server.settings_guidance import GuidanceSettings
from affectstream_server.stages.decode import Samples
from affectstream_server.stages.emit import EventQueue
from affectstream_server.stages.segment import Ended, Trigger
from affectstream_server.stream_quota import StreamQuota
from affectstream_server.utterance import Utterance
from affectstream_server.voice import Voice

_SECOND: Final = 16_000
_SPEECH_S: Final = 3
_MODEL: Final = ModelInfo(
    name="made",
    version="1",
    labels=EMOTIONS[:4],
    dimensions=("arousal",),
    digest="",
    precision="fp32",
    max_samples=30 * _SECOND,
    calibrated=True,
    embedding_size=0,
)


class Made:
    """A model whose scores are made up, and there at once."""

    name = "made"
    model = _MODEL
    trouble = ""
    pending = 0

    def __init__(self, seed: int) -> None:
        self._random = np.random.default_rng(seed)

    def start(self, changed: Callable[[], None]) -> None:
        """Nothing changes."""

    async def score(
        self,
        utterance_id: str,  # noqa: ARG002 - the protocol's
        audio: Samples,  # noqa: ARG002
        timeout_s: float,  # noqa: ARG002
        ticket: Ticket | None = None,  # noqa: ARG002
        *,
        attention: bool = False,  # noqa: ARG002
    ) -> Score:
        """Often sure of itself."""
        shares = self._random.dirichlet([0.3] * len(_MODEL.labels)).clip(1e-6)
        arousal = self._random.random(1, np.float32)
        logits = np.log(shares).astype(np.float32)
        return checked_score(_MODEL, logits, arousal, np.zeros(0, np.float32), compute_ms=0.0, queue_ms=0.0)

    async def close(self) -> None:
        """Nothing is held."""


async def deliver(policy: str, seed: int, finals: int) -> tuple[float, list[bytes]]:
    """Processor time of the event loop for each final in µs, and all that was written.

    ``policy`` is `guidance.policy` of the settings.
    """
    settings = Settings(guidance=GuidanceSettings(policy=policy))
    quota = StreamQuota(Quotas(settings).tenant(""), Load(finals).share(), RealTime(0.0))
    events = EventQueue("bench")
    written: list[bytes] = []
    voice = Voice(
        Router([Made(seed)]).open(),
        quota,
        events,
        deadline_ms=settings.scoring.deadline_ms,
        delivered=lambda: None,
        failed=_fail,
    )
    found = open_policy(settings.guidance)
    voice.advisor = Advisor(found, "en") if found is not None else None
    audio = np.random.default_rng(0).normal(0, 3_000, _SPEECH_S * _SECOND).astype(np.int16)

    async def write(data: bytes) -> None:
        written.append(data)

    writing = asyncio.ensure_future(events.write_all(write))
    began = time.thread_time_ns()
    for number in range(finals):
        voice.took(0, (_utterance(number, audio),))
        await voice.scoring.drained()
    voice.fall_silent()
    await writing
    return (time.thread_time_ns() - began) / 1_000 / finals, written


def _utterance(number: int, audio: Samples) -> Utterance:
    start = number * 2 * len(audio)
    end = start + len(audio)
    bounds = Ended(start, end, end, len(audio), end + 4_096, Trigger.SPEECH_ENDED)
    return Utterance(f"bench.0.{number}", "", 0, bounds, audio, barge_in=False, decision_ms=1.0)


def _fail(error: ServiceError) -> None:
    raise error
