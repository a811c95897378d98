"""Models that come, go and change while streams are open; several at once; pinned or the latest."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.scoring.embedded import EmbeddedScorer
from tests.support.speech import sample_talk
from tests.support.triton import Repository, clip, one_final_each, scorer_of, seen, serving
from tests.support.wire import END, chunks, config, converse, error_info, of_kind, refusal, stream_talk, stub
from tools.triton.server import Triton

BUNDLED_VERSION = EmbeddedScorer().model.version
GOOD = {pb.AFFECT_STATUS_OK, pb.AFFECT_STATUS_ABSTAINED}


@pytest.fixture(scope="module")
def changing(
    _installed: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Triton, Repository]]:
    """A Triton whose models may be loaded, unloaded and renewed: for each test its own."""
    folder = tmp_path_factory.mktemp("changing")
    models = Repository(folder / "models")
    names = ("renewed", "refused", "pinned", "gone", "first", "second")
    for name in names:
        models.add(name, ('string_value: "affect-embedded"', f'string_value: "{name}-embedded"'))
    triton = Triton(folder / "triton.log", models=names, repositories=(models.folder,))
    triton.start()
    try:
        yield triton, models
    finally:
        triton.kill()


def load(triton: Triton, model: str, action: str = "load") -> None:
    body = json.dumps({}).encode()
    assert triton.http(f"v2/repository/models/{model}/{action}", body) is not None


async def test_a_new_version_is_picked_up_without_losing_an_utterance(
    changing: tuple[Triton, Repository], figure: Callable[[str], None]
) -> None:
    triton, models = changing
    async with serving(triton.address, "renewed", triton={"canary_s": 60.0}) as server:
        scorer = scorer_of(server)
        versions: list[str] = []
        stop = asyncio.Event()

        async def keep_asking() -> None:
            while not stop.is_set():
                score = await scorer.score("u", clip(600), 5.0)
                versions.append(score.model.version)

        asking = [asyncio.create_task(keep_asking()) for _ in range(4)]
        talk = asyncio.create_task(stream_talk(server.address, sample_talk()))
        await asyncio.sleep(0.3)
        models.add_version("renewed", "2")
        await asyncio.to_thread(load, triton, "renewed")
        took_s = await seen(lambda: versions and versions[-1] == "2")
        stop.set()
        await asyncio.gather(*asking)  # raises if one was lost
        assert {event.status for event in one_final_each(await talk)} <= GOOD
        later = one_final_each(await stream_talk(server.address, clip(4_000)))
        assert {event.model.version for event in later} == {"2"}
        assert {event.model.digest for event in later} == {""}
    assert sorted(set(versions)) == [BUNDLED_VERSION, "2"]
    figure(
        f"new version: {len(versions)} utterances meanwhile, 0 lost, in force {took_s:.2f} s after its load"
    )


async def test_a_version_that_fails_its_canary_does_not_replace_the_old(
    changing: tuple[Triton, Repository], caplog: pytest.LogCaptureFixture
) -> None:
    triton, models = changing
    path = models.folder / "refused/config.pbtxt"
    path.write_text(path.read_text().replace("num_versions: 1", "num_versions: 2"))
    models.add_version("refused", "2")
    models.behave("refused", "constant", "2")
    async with serving(triton.address, "refused") as server:
        await asyncio.to_thread(load, triton, "refused")
        await seen(lambda: "version 2 may not serve" in caplog.text)
        events = one_final_each(await stream_talk(server.address, clip(4_000)))
        assert {event.model.version for event in events} == {BUNDLED_VERSION}


async def test_a_pinned_version_stays(changing: tuple[Triton, Repository]) -> None:
    triton, models = changing
    async with serving(triton.address, "pinned:1") as server:
        await seen(lambda: not server.pipeline.router.trouble)
        models.add_version("pinned", "2")
        await asyncio.to_thread(load, triton, "pinned")  # the policy is: the latest one
        await seen(lambda: "version 1 is not" in server.pipeline.router.trouble)


async def test_a_model_unloaded_and_loaded_again(
    changing: tuple[Triton, Repository], figure: Callable[[str], None]
) -> None:
    triton, _ = changing
    async with serving(triton.address, "gone", triton={"canary_s": 60.0}) as server:
        await asyncio.to_thread(load, triton, "gone", "unload")
        gone = one_final_each(await stream_talk(server.address, clip(4_000)))
        assert {event.status for event in gone} == {pb.AFFECT_STATUS_MODEL_ERROR}
        await seen(lambda: server.pipeline.router.trouble)
        error = await refusal(server.address, [config()])
        assert error.code() is grpc.StatusCode.UNAVAILABLE
        await asyncio.to_thread(load, triton, "gone")
        back_s = await seen(lambda: not server.pipeline.router.trouble)
        assert {e.status for e in one_final_each(await stream_talk(server.address, clip(4_000)))} <= GOOD
    figure(f"ready after the model was loaded again: {back_s:.2f} s (wanted: 2)")


async def test_streams_choose_their_model_by_name_and_by_language(
    changing: tuple[Triton, Repository],
) -> None:
    triton, _ = changing
    several = {"models": ["second"], "languages": {"de": "second"}, "canary_s": 60.0}
    async with serving(triton.address, "first", triton=several) as server:
        await seen(lambda: len(server.pipeline.router.models) == 2)

        async def model_of(**fields: str) -> set[str]:
            events = await stream_talk(server.address, clip(4_000), **fields)
            names = {event.model.name for event in one_final_each(events)}
            assert names == {event.model.name for event in of_kind(events, "session_started")}
            return names

        assert await model_of() == {"first-embedded"}
        assert await model_of(model="second") == {"second-embedded"}
        assert await model_of(model="second-embedded") == {"second-embedded"}
        assert await model_of(language_code="de-CH") == {"second-embedded"}
        assert await model_of(language_code="fr") == {"first-embedded"}
        assert await model_of(language_code="de", model="first") == {"first-embedded"}
        async with stub(server.address) as service:
            info = await service.GetServerInfo(pb.GetServerInfoRequest())
        assert [model.name for model in info.models] == ["first-embedded", "second-embedded"]
        error = await refusal(server.address, [config(model="third")])
        assert error_info(error).reason == "UNKNOWN_MODEL"

        await asyncio.to_thread(load, triton, "second", "unload")
        scorer = server.pipeline.router.scorers["second"]
        await converse(server.address, [config(model="second"), *chunks(clip(3_000).tobytes()), END])
        await seen(lambda: scorer.trouble)
        assert (await refusal(server.address, [config(model="second")])).code() is grpc.StatusCode.UNAVAILABLE
        assert await model_of() == {"first-embedded"}  # the other is not touched
