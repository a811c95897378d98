"""The contract: stubs are those of the proto, and no change breaks what was released."""

from __future__ import annotations

import filecmp
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from tests.support.compatibility import breaking_changes
from tools.generate_stubs import PROTO, ROOT, generate

GOLDEN = Path(__file__).with_name("golden") / "affect.binpb"
"""The released contract. A release writes it anew: python -m tests.wire.test_contract"""


def describe(out: Path, *options: str) -> FileDescriptorSet:
    """Compile the proto to a descriptor set."""
    subprocess.run(
        [
            sys.executable,
            "-m",
            "grpc_tools.protoc",
            f"-I{ROOT / 'protos'}",
            f"--descriptor_set_out={out}",
            *options,
            PROTO,
        ],
        check=True,
        timeout=60,
    )
    return FileDescriptorSet.FromString(out.read_bytes())


def test_checked_in_stubs_are_those_of_the_proto(tmp_path: Path) -> None:
    generate(tmp_path)
    names = [path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file()]
    assert len(names) == 4
    stale = [
        str(n) for n in names if not filecmp.cmp(tmp_path / n, ROOT / "clients/python" / n, shallow=False)
    ]
    assert not stale, "run: make stubs"


def test_nothing_that_was_released_is_broken(tmp_path: Path) -> None:
    golden = FileDescriptorSet.FromString(GOLDEN.read_bytes())
    assert breaking_changes(golden, describe(tmp_path / "now.binpb")) == []


def remove_field(new: FileDescriptorSet) -> None:
    del message(new, "AffectEvent").field[9]


def renumber_field(new: FileDescriptorSet) -> None:
    message(new, "AffectEvent").field[0].number = 99


def retype_field(new: FileDescriptorSet) -> None:
    message(new, "Progress").field[0].type = 5


def drop_presence(new: FileDescriptorSet) -> None:
    message(new, "Dimensions").field[0].proto3_optional = False


def rename_enum_value(new: FileDescriptorSet) -> None:
    new.file[0].enum_type[0].value[1].name = "OTHER"


def make_unary(new: FileDescriptorSet) -> None:
    new.file[0].service[0].method[1].client_streaming = False


def message(new: FileDescriptorSet, name: str):  # type: ignore[no-untyped-def] # noqa: ANN201, RUF100 - a descriptor
    return next(m for m in new.file[0].message_type if m.name == name)


@pytest.mark.parametrize(
    "change", [remove_field, renumber_field, retype_field, drop_presence, rename_enum_value, make_unary]
)
def test_the_guard_sees_every_kind_of_break(change: Callable[[FileDescriptorSet], None]) -> None:
    golden = FileDescriptorSet.FromString(GOLDEN.read_bytes())
    broken = FileDescriptorSet.FromString(GOLDEN.read_bytes())
    change(broken)
    assert breaking_changes(golden, broken)


def test_every_message_enum_and_field_is_explained(tmp_path: Path) -> None:
    proto = describe(tmp_path / "now.binpb", "--include_source_info").file[0]
    explained = {tuple(place.path) for place in proto.source_code_info.location if place.leading_comments}
    bare = [enum.name for i, enum in enumerate(proto.enum_type) if (5, i) not in explained]
    for i, entry in enumerate(proto.message_type):
        bare += [entry.name] if (4, i) not in explained else []
        bare += [f"{entry.name}.{f.name}" for j, f in enumerate(entry.field) if (4, i, 2, j) not in explained]
    assert not bare


if __name__ == "__main__":
    GOLDEN.parent.mkdir(exist_ok=True)
    describe(GOLDEN)
