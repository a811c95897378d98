"""The published files, from a local path or from the hub; nothing of theirs is ever executed."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from affectstream_models.errors import ModelsError
from affectstream_models.meralion_config import HUB_ID

WEIGHTS: Final = "model.safetensors"
CONFIG: Final = "config.json"
PREPROCESSOR: Final = "preprocessor_config.json"
_LOOKS_LIKE_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w.-]+")


class CheckpointError(ModelsError):
    """A checkpoint that cannot be used: one line with what is wrong, its value, and what to do."""


@dataclass(frozen=True, slots=True)
class CheckpointFiles:
    """The files of one checkpoint on this machine."""

    weights: Path
    config: Path
    preprocessor: Path | None
    """None where the checkpoint comes without one."""


def locate(path_or_hub_id: str | Path, *, revision: str | None, token: str | None) -> CheckpointFiles:
    """Finds a checkpoint's files: a folder, a `.safetensors` file beside its config, or a hub id.

    Raises:
        CheckpointError: when a file is missing, or the hub does not give it.
    """
    path = Path(path_or_hub_id).expanduser()
    if path.exists():
        return _local(path)
    if isinstance(path_or_hub_id, str) and _LOOKS_LIKE_HUB_ID.fullmatch(path_or_hub_id):
        return _from_hub(path_or_hub_id, revision, token)
    raise CheckpointError(
        f"{path}: no such file or folder; give a local checkpoint or a hub id such as {HUB_ID}"
    )


def _local(path: Path) -> CheckpointFiles:
    weights = path / WEIGHTS if path.is_dir() else path
    config, preprocessor = weights.with_name(CONFIG), weights.with_name(PREPROCESSOR)
    for needed in (weights, config):
        if not needed.is_file():
            raise CheckpointError(f"{needed}: missing; a checkpoint is {WEIGHTS} with {CONFIG} beside it")
    return CheckpointFiles(weights, config, preprocessor if preprocessor.is_file() else None)


def _from_hub(hub_id: str, revision: str | None, token: str | None) -> CheckpointFiles:
    config = _download(hub_id, CONFIG, revision, token)
    weights = _download(hub_id, WEIGHTS, revision, token)
    if config is None or weights is None:
        missing = CONFIG if config is None else WEIGHTS
        raise CheckpointError(f"{hub_id}@{revision}: has no {missing}; check the hub id and the revision")
    return CheckpointFiles(weights, config, _download(hub_id, PREPROCESSOR, revision, token))


def _download(hub_id: str, name: str, revision: str | None, token: str | None) -> Path | None:
    """One file's path in the hub's cache, fetched if need be; None if the repository has no such file."""
    try:
        from huggingface_hub import errors, hf_hub_download
    except ImportError as error:
        raise CheckpointError(
            f"{hub_id}: reading from the hub needs `pip install huggingface_hub`; or give a local folder"
        ) from error
    where = f"{hub_id}@{revision or 'latest'}"
    try:
        return Path(
            hf_hub_download(hub_id, name, revision=revision, token=token or os.environ.get("HF_TOKEN"))
        )
    except errors.LocalEntryNotFoundError as error:
        if name == PREPROCESSOR:
            return None
        raise CheckpointError(
            f"{where}: {name} is not cached and the hub is out of reach; fetch it once with a network, "
            "or give a local folder"
        ) from error
    except errors.EntryNotFoundError:
        return None
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"{where}: access is gated; accept its terms on the hub and set HF_TOKEN"
        ) from error
    except errors.RevisionNotFoundError as error:
        raise CheckpointError(f"{where}: no such revision; use a commit that the hub lists") from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(f"{where}: no such repository, or HF_TOKEN may not read it") from error
    except (OSError, errors.HfHubHTTPError) as error:
        raise CheckpointError(f"{where}: cannot fetch {name}: {_one_line(error)}") from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())
