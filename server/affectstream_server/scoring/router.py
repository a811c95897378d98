"""Which model scores a stream: the one it names, the one for its language, or the default."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from affectstream_server.cues.saliency import Span
from affectstream_server.errors import Unavailable
from affectstream_server.observer import call_headers
from affectstream_server.scoring.embedded import BUNDLED, EmbeddedScorer, ModelRejected
from affectstream_server.scoring.fallback import WithFallback
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.scorer import (
    ModelInfo,
    PartScorer,
    Score,
    ScorerUnavailable,
    ServedScorer,
)
from affectstream_server.scoring.user_outputs import UserOutputs, read_user_outputs
from affectstream_server.settings import ScoringSettings, Settings, TritonSettings
from affectstream_server.stages.decode import Samples


class Router:
    """The models of this server; the first is the default, and the server's readiness is its."""

    def __init__(
        self,
        scorers: Sequence[ServedScorer],
        languages: Mapping[str, str] | None = None,
        *,
        close: Callable[[], Awaitable[None]] | None = None,
        scoring: ScoringSettings | None = None,
        user_outputs: UserOutputs | None = None,
    ) -> None:
        """``languages`` is a BCP 47 tag or the start of one → a scorer's name; ``close`` is awaited last.

        ``scoring`` has the signal that a score must come from, where it is not left to each model.
        """
        self.scorers = {scorer.name: scorer for scorer in scorers}
        self.default = scorers[0]
        self._languages = {tag.lower(): name for tag, name in (languages or {}).items()}
        self._close = close
        asked = scoring or ScoringSettings()
        signal = {"min_snr_db": asked.min_snr_db, "min_speech_ms": asked.min_speech_ms}
        self._overrides: dict[str, Any] = {name: v for name, v in signal.items() if v is not None}
        self._floors: dict[str, float] = {str(label): least for label, least in asked.min_probability.items()}
        self.user_outputs = user_outputs or UserOutputs()
        """What users taught on these models."""

    @property
    def trouble(self) -> str:
        """Why no stream may be opened, for the log; empty where one may."""
        return self.default.trouble

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """The models that are known by now, the default first."""
        return tuple(model for scorer in self.scorers.values() if (model := _model(scorer)) is not None)

    @property
    def answering(self) -> tuple[ModelInfo, ...]:
        """The models that are known by now, and those that answer in another's place."""
        seconds = (scorer.second for scorer in self.scorers.values() if isinstance(scorer, WithFallback))
        return (*self.models, *seconds)

    @property
    def names(self) -> tuple[str, ...]:
        """What a stream may ask for: names of settings and of the models themselves."""
        return tuple(dict.fromkeys((*self.scorers, *(model.name for model in self.models))))

    def judged(self, model: ModelInfo) -> ModelInfo:
        """The model as settings have it acted on, whichever it is."""
        if not (self._overrides or self._floors):
            return model
        return replace(model, **self._overrides, abstain_below={**model.abstain_below, **self._floors})

    def start(self, changed: Callable[[], None]) -> None:
        """Begin to watch the models; ``changed`` is told of every change."""

        def look() -> None:
            self.user_outputs.look(self.answering)
            changed()

        for scorer in self.scorers.values():
            scorer.start(look if self.user_outputs else changed)

    async def close(self) -> None:
        """Close every model, then what they share."""
        for scorer in self.scorers.values():
            await scorer.close()
        if self._close is not None:
            await self._close()

    def open(self) -> Route:
        """A stream's way to its model. Raises `Unavailable` while the default may not serve."""
        if self.trouble:
            raise not_ready()
        return Route(self)

    def find(self, model: str, language: str) -> ServedScorer | None:
        """The scorer of a model by name, else by language; None for a name that nobody has."""
        if model:
            for name, scorer in self.scorers.items():
                known = _model(scorer)
                if model == name or (known is not None and model == known.name):
                    return scorer
            return None
        tag = language.lower()
        while tag and tag not in self._languages:
            tag = tag.rpartition("-")[0]
        return self.scorers[self._languages[tag]] if tag else self.default


class Route:
    """One stream's scorer: the default until `choose` finds a better one."""

    def __init__(self, router: Router) -> None:
        self._router = router
        self._scorer: ServedScorer = router.default
        self.attention = False
        """Scores are to say where the model looked, if it does."""

    @property
    def names(self) -> tuple[str, ...]:
        """What `choose` knows."""
        return self._router.names

    @property
    def model(self) -> ModelInfo:
        return self._router.judged(self._scorer.model)

    def choose(self, model: str, language: str) -> None:
        """Score by this model, or the one for this language; an unknown name changes nothing.

        Raises `Unavailable` where it may not serve.
        """
        found = self._router.find(model, language)
        if found is not None:
            if found.trouble:
                raise not_ready()
            self._scorer = found

    async def score(
        self, utterance_id: str, audio: Samples, timeout_s: float, ticket: Ticket | None = None
    ) -> Score:
        score = await self._scorer.score(utterance_id, audio, timeout_s, ticket, attention=self.attention)
        if self._router.user_outputs:
            score = self._router.user_outputs.add_to(score)
        judged = self._router.judged(score.model)
        return score if judged is score.model else replace(score, model=judged)

    async def score_without(
        self, score: Score, audio: Samples, holes: Sequence[Span], ticket: Ticket, timeout_s: float
    ) -> NDArray[np.float32]:
        """See `PartScorer`: whoever gave ``score`` is asked."""
        scorer = self._scorer
        if isinstance(scorer, WithFallback):
            scorer = scorer.which(score.model)
        if not isinstance(scorer, PartScorer):
            raise ScorerUnavailable("this model is not asked about parts of an utterance")
        return await scorer.score_without(audio, holes, ticket, timeout_s)

    async def close(self) -> None:
        """Nothing to do: the router closes the models."""


def not_ready() -> Unavailable:
    """The error of a stream whose model may not serve."""
    return Unavailable(
        "the model is not ready; the server's log says why", reason="MODEL_NOT_READY", retry_after_s=1.0
    )


def from_settings(settings: Settings) -> Router:
    """The models that settings name. Raises `ModelRejected`, or `SettingsError` for what users taught."""
    user_outputs = read_user_outputs(settings.scoring.user_outputs)
    if settings.triton.address:
        return _behind_triton(settings, settings.triton, user_outputs)
    scorer = _embedded(settings)
    user_outputs.check([scorer.model])
    return Router([scorer], scoring=settings.scoring, user_outputs=user_outputs)


def _behind_triton(settings: Settings, triton: TritonSettings, user_outputs: UserOutputs) -> Router:
    try:
        from affectstream_server.scoring.triton import TritonScorer
        from affectstream_server.scoring.triton_client import TritonClient
    except ModuleNotFoundError as error:
        raise ModelRejected(
            f"triton.address is set and {error.name} is missing: pip install 'affectstream[triton]'"
        ) from None
    client = TritonClient(triton.address, call_headers)
    scorers: list[ServedScorer] = [
        TritonScorer(client, wanted, triton, max_pending=settings.scoring.max_pending)
        for wanted in (triton.model, *triton.models)
    ]
    if triton.fallback:
        second = _embedded(settings)
        scorers = [WithFallback(scorer, second) for scorer in scorers]
    return Router(
        scorers,
        triton.languages,
        close=client.close,
        scoring=settings.scoring,
        user_outputs=user_outputs,
    )


def _embedded(settings: Settings) -> EmbeddedScorer:
    return EmbeddedScorer(
        Path(settings.scoring.model) if settings.scoring.model else BUNDLED,
        threads=settings.scoring.threads,
        max_pending=settings.scoring.max_pending,
        canary_s=settings.scoring.canary_s,
    )


def _model(scorer: ServedScorer) -> ModelInfo | None:
    try:
        return scorer.model
    except ScorerUnavailable:
        return None
