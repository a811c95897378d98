"""Which model scores a stream, and what happens when the first choice cannot."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from affectstream_server.errors import Unavailable
from affectstream_server.scoring.fallback import WithFallback
from affectstream_server.scoring.load import Ticket
from affectstream_server.scoring.router import Router
from affectstream_server.scoring.scorer import (
    ModelFault,
    ModelInfo,
    Score,
    ScorerOverloaded,
    ScorerUnavailable,
    ScoreTooLate,
    checked_score,
)
from affectstream_server.settings import ScoringSettings, SettingsError, load
from affectstream_server.stages.decode import Samples

AUDIO = np.ones(16_000, np.int16)
INFO = ModelInfo("m", "1", ("neutral", "happy"), (), "d", "fp32", 480_000, False, 1)


class Named:
    """A scorer by name that answers, waits or fails as told."""

    def __init__(
        self, name: str, *, trouble: str = "", fails: Exception | None = None, wait_s: float = 0
    ) -> None:
        self.name = name
        self.trouble = trouble
        self.fails = fails
        self.wait_s = wait_s
        self.timeouts: list[float] = []
        self.attentions: list[bool] = []

    @property
    def model(self) -> ModelInfo:
        if self.trouble == "never seen":
            raise ScorerUnavailable("never seen")
        return replace(INFO, name=f"{self.name}-model")

    @property
    def pending(self) -> int:
        return 0

    def start(self, changed: Callable[[], None]) -> None:
        changed()

    async def score(
        self,
        utterance_id: str,  # noqa: ARG002
        audio: Samples,  # noqa: ARG002
        timeout_s: float,
        ticket: Ticket | None = None,  # noqa: ARG002
        *,
        attention: bool = False,
    ) -> Score:
        self.timeouts.append(timeout_s)
        self.attentions.append(attention)
        await asyncio.sleep(self.wait_s)
        if self.fails is not None:
            raise self.fails
        rows = (np.array(row, np.float32) for row in ([0, 1], [], [0]))
        return checked_score(self.model, *rows, compute_ms=1.0, queue_ms=0.0)

    async def close(self) -> None:
        return


async def answered(router: Router, model: str = "", language: str = "") -> str:
    route = router.open()
    route.choose(model, language)
    return (await route.score("u", AUDIO, 1.0)).model.name


async def test_name_goes_before_language_and_language_before_the_default() -> None:
    router = Router([Named("a"), Named("b"), Named("c")], {"de": "b", "de-CH": "c"})
    assert await answered(router) == "a-model"
    assert await answered(router, "c") == "c-model"
    assert await answered(router, "c-model", "de") == "c-model"
    assert await answered(router, language="de") == "b-model"
    assert await answered(router, language="de-AT") == "b-model"
    assert await answered(router, language="DE-ch-1996") == "c-model"
    assert await answered(router, language="den") == "a-model"
    assert await answered(router, "nobody") == "a-model"  # the configuration's check refuses it
    assert router.names == ("a", "b", "c", "a-model", "b-model", "c-model")


async def test_whichever_model_scores_is_asked_where_it_looked_if_the_stream_wants_to_know() -> None:
    first, second = Named("a", fails=ModelFault("f")), Named("b")
    route = Router([WithFallback(first, second)]).open()
    await route.score("u", AUDIO, 1.0)
    route.attention = True
    await route.score("u", AUDIO, 1.0)
    assert first.attentions == second.attentions == [False, True]


async def test_settings_say_which_signal_is_trusted_whichever_model_answers() -> None:
    both = WithFallback(Named("a", fails=ModelFault("f")), Named("b"))
    settings = ScoringSettings(min_snr_db=8.0, min_speech_ms=400)
    told = await Router([both], scoring=settings).open().score("u", AUDIO, 1.0)
    assert (told.model.min_snr_db, told.model.min_speech_ms) == (8.0, 400)
    assert told.model.fallback
    untouched = await Router([both]).open().score("u", AUDIO, 1.0)
    assert (untouched.model.min_snr_db, untouched.model.min_speech_ms) == (None, 0)


async def test_floors_of_settings_go_over_the_cards_label_by_label() -> None:
    class Careful(Named):
        @property
        def model(self) -> ModelInfo:
            return replace(INFO, abstain_below={"sad": 0.6, "happy": 1.01})

    scorer = Careful("a")
    route = Router([scorer], scoring=ScoringSettings(min_probability={"sad": 0.8, "angry": 0.7})).open()
    expected = {"sad": 0.8, "angry": 0.7, "happy": 1.01}
    assert (await route.score("u", AUDIO, 1.0)).model.abstain_below == expected
    assert route.model.abstain_below == expected, "turns are judged by the same"
    assert scorer.model.abstain_below == {"sad": 0.6, "happy": 1.01}


def test_trouble_of_the_default_is_the_servers_and_of_another_its_own() -> None:
    first, second = Named("a"), Named("b", trouble="never seen")
    router = Router([first, second])
    assert [model.name for model in router.models] == ["a-model"]
    route = router.open()
    with pytest.raises(Unavailable):
        route.choose("b", "")
    assert route.model.name == "a-model"
    first.trouble = "gone"
    assert router.trouble == "gone"
    with pytest.raises(Unavailable):
        router.open()


@pytest.mark.parametrize("fault", [ModelFault("f"), ScoreTooLate("l"), ScorerUnavailable("u")])
async def test_a_fallback_answers_for_a_first_choice_that_cannot(fault: Exception) -> None:
    first, second = Named("a", fails=fault), Named("b")
    both = WithFallback(first, second)
    score = await both.score("u", AUDIO, 1.0)
    assert score.model == replace(second.model, fallback=True)
    assert str(fault) in score.detail
    assert first.timeouts[0] < 1.0  # some time is left for the second
    assert both.model == first.model
    assert both.counts["fell_back"] == 1


async def test_a_fallback_stays_away_from_overload_and_from_what_goes_well() -> None:
    good = WithFallback(Named("a"), Named("b"))
    assert (await good.score("u", AUDIO, 1.0)).model.name == "a-model"
    full = WithFallback(Named("a", fails=ScorerOverloaded("full")), Named("b"))
    with pytest.raises(ScorerOverloaded):
        await full.score("u", AUDIO, 1.0)


async def test_with_a_fallback_trouble_is_no_trouble() -> None:
    first = Named("a", trouble="never seen")
    both = WithFallback(first, Named("b"))
    assert not both.trouble
    assert both.model.fallback
    assert (await both.score("u", AUDIO, 1.0)).model.fallback
    assert not first.timeouts  # it was not even asked


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"address": "localhost"}, "expected HOST:PORT"),
        ({"models": ["affect_embedded:2"]}, "each model once"),
        ({"languages": {"de": "other"}}, "expected one of affect_embedded"),
        ({"modell": "x"}, "triton.modell: unknown setting"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        load(environ={}, overrides={"triton": values})
