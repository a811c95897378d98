"""The hub: cached files without a network, and one clear line for each way it can refuse."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
from huggingface_hub import errors

from affectstream_models.meralion import MeralionSer
from affectstream_models.meralion_config import HUB_ID, PINNED_REVISION
from affectstream_models.meralion_hub import CheckpointError, locate
from tests.models.meralion.helpers import SMALL, lively, save_checkpoint, with_decoder


def hub_error(kind: type[Exception], text: str) -> Exception:
    """An error as the hub's library raises it, without the response that its constructors want."""
    error = kind.__new__(kind, text)
    error.args = (text,)
    return error


def refused_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> str:
    def fail(*_: Any, **__: Any) -> str:
        raise error

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(CheckpointError) as caught:
        locate(HUB_ID, revision="abc", token=None)
    message = str(caught.value)
    assert message.startswith(f"{HUB_ID}@abc: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (errors.LocalEntryNotFoundError("offline"), "not cached and the hub is out of reach"),
        (hub_error(errors.RevisionNotFoundError, "404"), "no such revision"),
        (hub_error(errors.GatedRepoError, "403"), "access is gated; accept its terms"),
        (hub_error(errors.RepositoryNotFoundError, "404"), "no such repository, or HF_TOKEN may not read it"),
        (hub_error(errors.RemoteEntryNotFoundError, "404"), "has no config.json"),
        (hub_error(errors.HfHubHTTPError, "500\nserver"), "cannot fetch config.json: 500 server"),
        (
            OSError(28, "No space left on device"),
            "cannot fetch config.json: [Errno 28] No space left on device",
        ),
    ],
    ids=["no network", "wrong revision", "gated", "no repository", "no file", "server error", "no space"],
)
def test_each_refusal_is_one_line(error: Exception, says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert says in refused_with(error, monkeypatch)


def test_without_huggingface_hub_the_line_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "huggingface_hub", None)
    with pytest.raises(CheckpointError, match="pip install huggingface_hub"):
        locate(HUB_ID, revision=PINNED_REVISION, token=None)


def test_token_and_pinned_revision_reach_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str | None, str | None]] = []
    folder = save_checkpoint(tmp_path, with_decoder(lively(SMALL)))

    def download(_: str, name: str, *, revision: str | None, token: str | None) -> str:
        asked.append((name, revision, token))
        return str(folder / name)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setenv("HF_TOKEN", "from the environment")
    MeralionSer.from_checkpoint(HUB_ID, config=SMALL)
    MeralionSer.from_checkpoint(HUB_ID, config=SMALL, revision="v2", token="given")  # noqa: S106 - no secret
    assert {(revision, token) for _, revision, token in asked} == {
        (PINNED_REVISION, "from the environment"),
        ("v2", "given"),
    }
    assert {name for name, _, _ in asked} == {"config.json", "model.safetensors", "preprocessor_config.json"}


def test_once_cached_it_loads_without_a_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's own cache layout, its library offline, and no preprocessor config in it."""
    cache = tmp_path / "cache"
    repository = cache / ("models--" + HUB_ID.replace("/", "--"))
    save_checkpoint(
        repository / "snapshots" / PINNED_REVISION, with_decoder(lively(SMALL)), preprocessor=None
    )
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(cache))
    MeralionSer.from_checkpoint(HUB_ID, config=SMALL)
    with pytest.raises(CheckpointError, match="not cached and the hub is out of reach"):
        MeralionSer.from_checkpoint(HUB_ID, config=SMALL, revision="0" * 40)
