"""Plans on disk: what each was built for, the refusal of a foreign one, and the install."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from affectstream import contract
from affectstream_models.errors import ModelsError

PLAN: Final = "model.plan"
MANIFEST: Final = "manifest.json"
REBUILD: Final = "docker compose run --rm build"


class PlanError(ModelsError):
    """A plan that must not be served or could not be installed; what served before is untouched."""


@dataclass(frozen=True, slots=True)
class Platform:
    """What a plan depends on besides its graph."""

    tensorrt: str
    """Version, as the library states it."""
    architecture: str
    """Compute capability of the GPU: `sm_90`."""
    gpu: str
    """Name of the GPU; told, not compared."""


@dataclass(frozen=True, slots=True)
class PlanRecord:
    """What the manifest says of one plan."""

    plan_sha256: str
    platform: Platform
    precision: str
    source_sha256: str
    """Of the weights: the same for every precision of one checkpoint."""
    onnx_sha256: str
    card_sha256: str
    batches: tuple[int, ...]
    """Batch size of each optimization profile, in order."""
    built_on: str
    """Date, UTC."""
    parity: Mapping[str, Any]
    """Against the float32 graph on real speech; see `parity.Parity`."""
    labels: tuple[str, ...] = field(default=contract.EMOTIONS)

    @classmethod
    def from_json(cls, entry: Mapping[str, Any]) -> PlanRecord:
        """Reads an entry of the manifest; raises KeyError or TypeError for what is not one."""
        lists = {key: tuple(entry[key]) for key in ("batches", "labels")}
        return cls(**{**entry, **lists, "platform": Platform(**entry["platform"])})


def verify(folder: Path, here: Platform) -> PlanRecord:
    """Checks that the plan in a version folder may be served here.

    Args:
        folder: `triton_repo/meralion_ser/<version>`.
        here: the platform of this machine.

    Raises:
        PlanError: when there is no plan, the manifest does not know it, or it was built for
            another TensorRT, GPU architecture or label order; with the command that rebuilds it.
    """
    plan = folder / PLAN
    if not plan.is_file():
        raise PlanError(f"{plan}: no engine has been built; build it: {REBUILD}")
    digest = sha256(plan)
    record = next((entry for entry in read_manifest(folder) if entry.plan_sha256 == digest), None)
    if record is None:
        raise PlanError(f"{plan}: its digest {digest[:12]}… is not in {MANIFEST}; rebuild it: {REBUILD}")
    for what, built, found in (
        ("TensorRT", record.platform.tensorrt, here.tensorrt),
        ("GPU architecture", record.platform.architecture, here.architecture),
        ("label order", record.labels, contract.EMOTIONS),
    ):
        if built != found:
            raise PlanError(
                f"{plan}: built for {what} {built}, this machine has {found}; rebuild it: {REBUILD}"
            )
    return record


def install(folder: Path, plan: bytes, record: PlanRecord) -> None:
    """Puts a plan and its record in place; at every moment the plan on disk is one the manifest knows.

    The manifest first names both plans, then the plan is replaced in one step, then the manifest
    forgets the old one. Stopped at any point, the folder still holds a whole, known plan.

    Raises:
        PlanError: when the folder cannot be written; the old plan is still there.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _replace(folder / MANIFEST, _manifest([*read_manifest(folder), record]))
        _replace(folder / PLAN, plan)
        _replace(folder / MANIFEST, _manifest([record]))
    except OSError as error:
        no_space = error.errno == errno.ENOSPC
        reason = "no space left on its disk" if no_space else error.strerror or str(error)
        raise PlanError(
            f"{folder}: cannot install the engine ({reason}); the old one is untouched"
        ) from error


def require_writable(folder: Path, needed_bytes: int) -> None:
    """Refuses a folder before a long build, rather than after it.

    Raises:
        PlanError: when it cannot be written, or its disk has less than `needed_bytes` free.
    """
    probe = folder / ".writable"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
        stats = os.statvfs(folder)
    except OSError as error:
        raise PlanError(
            f"{folder}: cannot be written ({error.strerror}); mount the repository writable"
        ) from error
    free = stats.f_bavail * stats.f_frsize
    if free < needed_bytes:
        raise PlanError(f"{folder}: {free:,} bytes free, {needed_bytes:,} needed for an engine; free some")


def read_manifest(folder: Path) -> list[PlanRecord]:
    """Every plan that the manifest knows; none where there is no manifest."""
    path = folder / MANIFEST
    if not path.exists():
        return []
    try:
        return [
            PlanRecord.from_json(entry) for entry in json.loads(path.read_text(encoding="utf-8"))["plans"]
        ]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PlanError(f"{path}: not a manifest ({error}); remove it and rebuild: {REBUILD}") from error


def sha256(path: Path) -> str:
    """Digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def sha256_of(content: bytes) -> str:
    """Digest of bytes."""
    return hashlib.sha256(content).hexdigest()


def _manifest(records: list[PlanRecord]) -> bytes:
    plans = [asdict(record) for record in records]
    return (json.dumps({"plans": plans}, indent=2) + "\n").encode()


def _replace(path: Path, content: bytes) -> None:
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
    finally:
        with suppress(FileNotFoundError):
            new.unlink()
