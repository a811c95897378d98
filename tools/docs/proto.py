"""The wire contract as a page: every call, message, field and value with its comment in the proto."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    EnumValueDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from tools.docs.markdown import anchor, page, prose, table

ROOT = Path(__file__).resolve().parents[2]
PROTO = "affectstream/v1/affect.proto"
_MESSAGE, _ENUM, _SERVICE, _MEMBER, _SYNTAX = 4, 5, 6, 2, 12
"""Field numbers of FileDescriptorProto, by which the places of comments are written."""
_Type = FieldDescriptorProto.Type


@dataclass(frozen=True)
class Element:
    """Something that the proto declares."""

    name: str
    """In full, such as ``AudioFormat.encoding``."""
    comment: str


def contract() -> FileDescriptorProto:
    """The proto with its comments. Raises CalledProcessError."""
    with TemporaryDirectory() as folder:
        out = Path(folder) / "affect.binpb"
        command = [sys.executable, "-m", "grpc_tools.protoc", f"-I{ROOT / 'protos'}", "--include_source_info"]
        subprocess.run([*command, f"--descriptor_set_out={out}", PROTO], check=True, timeout=60)  # noqa: S603
        return FileDescriptorSet.FromString(out.read_bytes()).file[0]


def elements(file: FileDescriptorProto) -> Iterator[Element]:
    """All that a reader may look up, with its comment."""
    comments = _comments(file)
    kinds = (
        (_SERVICE, file.service, "method"),
        (_MESSAGE, file.message_type, "field"),
        (_ENUM, file.enum_type, "value"),
    )
    for kind, things, members in kinds:
        for place, thing in enumerate(cast("list[Any]", things)):
            yield Element(thing.name, comments.get((kind, place), ""))
            for inner, member in enumerate(getattr(thing, members)):
                comment = comments.get((kind, place, _MEMBER, inner), "")
                yield Element(f"{thing.name}.{member.name}", comment or _of_zero(member))


def render(file: FileDescriptorProto) -> str:
    """The page."""
    comments = _comments(file)
    parts = [_conventions(comments[_SYNTAX,])]
    for place, service in enumerate(file.service):
        parts += [f"## Calls of {service.name}", prose(comments.get((_SERVICE, place), ""))]
        parts.append(_calls(service, comments, (_SERVICE, place)))
    parts.append("## Messages")
    nested = {f".{file.package}.{m.name}.{n.name}": n for m in file.message_type for n in m.nested_type}
    for place, message in enumerate(file.message_type):
        parts += [f"### {message.name}", prose(comments.get((_MESSAGE, place), ""))]
        parts.append(_fields(message, comments, (_MESSAGE, place), nested))
    parts.append("## Enumerations")
    for place, enum in enumerate(file.enum_type):
        parts += [f"### {enum.name}", prose(comments.get((_ENUM, place), ""))]
        parts.append(_values(enum, comments, (_ENUM, place)))
    return page("The wire: proto", PROTO, *parts)


Comments = dict[tuple[int, ...], str]


def _comments(file: FileDescriptorProto) -> Comments:
    return {
        tuple(place.path): place.leading_comments or "\n".join(place.leading_detached_comments)
        for place in file.source_code_info.location
        if place.leading_comments or tuple(place.path) == (_SYNTAX,)
    }


def _conventions(head: str) -> str:
    """The comment at the top of the file, whose points are a list there too."""
    lines = [line.strip() for line in head.strip().splitlines()]
    text = "\n".join("\n* " + line[2:] if line.startswith("* ") else line for line in lines)
    first, *points = text.split("\n* ")
    return "\n".join([first.strip() + "\n", *(f"* {prose(point)}" for point in points)])


def _calls(service: ServiceDescriptorProto, comments: Comments, path: tuple[int, ...]) -> str:
    parts = []
    for place, method in enumerate(service.method):
        takes, gives = (_link(name) for name in (method.input_type, method.output_type))
        takes = f"stream of {takes}" if method.client_streaming else takes
        gives = f"stream of {gives}" if method.server_streaming else gives
        parts += [f"### {method.name}", f"{takes} → {gives}"]
        parts.append(prose(comments.get((*path, _MEMBER, place), "")))
    return "\n\n".join(parts)


def _fields(
    message: DescriptorProto, comments: Comments, path: tuple[int, ...], nested: dict[str, DescriptorProto]
) -> str:
    if not message.field:
        return "No fields."
    rows = []
    for place, field in enumerate(message.field):
        about = prose(comments.get((*path, _MEMBER, place), ""))
        if field.HasField("oneof_index") and not field.proto3_optional:
            about += f" *One of `{message.oneof_decl[field.oneof_index].name}`.*"
        rows.append([f"`{field.name}`", _type(field, nested), str(field.number), about])
    return table(["field", "type", "number", ""], rows)


def _values(enum: EnumDescriptorProto, comments: Comments, path: tuple[int, ...]) -> str:
    rows = [
        [
            f"`{value.name}`",
            str(value.number),
            prose(comments.get((*path, _MEMBER, place), "") or _of_zero(value)),
        ]
        for place, value in enumerate(enum.value)
    ]
    return table(["value", "number", ""], rows)


def _of_zero(member: object) -> str:
    """What the conventions say of every enumeration's first value."""
    zero = isinstance(member, EnumValueDescriptorProto) and member.number == 0
    return "Not said. Never sent by a server." if zero else ""


def _type(field: FieldDescriptorProto, nested: dict[str, DescriptorProto]) -> str:
    if field.type_name in nested:
        key, value = nested[field.type_name].field
        return f"map of {_type(key, nested)} to {_type(value, nested)}"
    name = _link(field.type_name) if field.type_name else _Type.Name(field.type)[5:].lower()
    if field.label == FieldDescriptorProto.LABEL_REPEATED:
        return f"repeated {name}"
    return f"optional {name}" if field.proto3_optional else name


def _link(type_name: str) -> str:
    if type_name.startswith(".google."):
        return type_name[1:]
    name = type_name.rpartition(".")[2]
    return f"[{name}](#{anchor(name)})"
