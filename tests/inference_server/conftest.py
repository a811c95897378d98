"""One real Triton for the ordinary tests; those that break it start their own. None is a mock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.triton import ATTENTIVE, Repository
from tests.wire.conftest import _nothing_is_left  # noqa: F401 - the same rule holds here
from tools.triton.server import BINARY, MODELS, REPOSITORY, Triton


@dataclass(frozen=True)
class Bench:
    """A running Triton and the repository of misbehaving models that it serves too."""

    triton: Triton
    models: Repository


@pytest.fixture(scope="session")
def _installed() -> None:
    if not (BINARY / ".ready").exists() or not (MODELS / ".ready").exists():
        pytest.skip("needs Triton: make triton-setup")


@pytest.fixture(scope="session")
def bench(_installed: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """The Triton that most tests share: `affect_embedded` and models that do as they are told."""
    folder = tmp_path_factory.mktemp("triton")
    models = Repository(folder / "models")
    models.add("told")
    models.add(
        "short_queue",
        (r"max_queue_delay_microseconds: \d+", "default_queue_policy: { max_queue_size: 2 }"),
        (r"max_batch_size: 32", "max_batch_size: 1"),
    )
    models.add("three_labels", labels="neutral\nhappy\nsad\n")
    models.add("other_order", labels="happy\nneutral\nsad\nangry\n")
    models.add("doubles", (r"TYPE_FP32\n    dims: \[ 4 \]", "TYPE_FP64\n    dims: [ 4 ]"))
    models.add(
        "attentive",
        (
            r"(dims: \[ 256 \]\n  \})",
            r'\1,\n  {\n    name: "FRAME_ATTENTION"\n    data_type: TYPE_FP32\n    dims: [ -1 ]\n  }',
        ),
        model=ATTENTIVE,
    )
    names = (
        *("affect_embedded", "told", "short_queue", "three_labels", "other_order", "doubles"),
        "attentive",
    )
    triton = Triton(folder / "triton.log", models=names, repositories=(REPOSITORY, models.folder))
    triton.start()
    try:
        yield Bench(triton, models)
    finally:
        triton.stop()


@pytest.fixture
def told(bench: Bench) -> Iterator[Callable[[str], None]]:
    """Tells the model `told` how to behave; well again after the test."""
    yield lambda how: bench.models.behave("told", how)
    bench.models.behave("told", "well")


@pytest.fixture
def own_triton(_installed: None, tmp_path: Path) -> Iterator[Triton]:
    """A Triton with `affect_embedded` that the test may break. Not started."""
    triton = Triton(tmp_path / "triton.log")
    try:
        yield triton
    finally:
        triton.kill()


@pytest.hookimpl(tryfirst=True)  # before the groups are read
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """One process runs all of these, so that they share one Triton."""
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.xdist_group("triton"))
