"""What may change between two versions of a released proto, and what may not."""

from __future__ import annotations

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
)


def breaking_changes(old: FileDescriptorSet, new: FileDescriptorSet) -> list[str]:
    """Everything in ``new`` that breaks a client or a recording made with ``old``."""
    found: list[str] = []
    now = {file.name: file for file in new.file}
    for file in old.file:
        if file.package.startswith("affectstream"):
            found += _file(file, now[file.name]) if file.name in now else [f"{file.name}: gone"]
    return found


def _file(old: FileDescriptorProto, new: FileDescriptorProto) -> Iterator[str]:
    if old.package != new.package:
        yield f"package {old.package}: is {new.package} now"
    messages = {message.name: message for message in new.message_type}
    for message in old.message_type:
        if message.name in messages:
            yield from _message(message.name, message, messages[message.name])
        else:
            yield f"{message.name}: gone"
    enums = {enum.name: enum for enum in new.enum_type}
    for enum in old.enum_type:
        if enum.name in enums:
            yield from _enum(enum, enums[enum.name])
        else:
            yield f"{enum.name}: gone"
    services = {service.name: service for service in new.service}
    for service in old.service:
        after = services.get(service.name)
        methods = {method.name: method for method in after.method} if after else {}
        for method in service.method:
            if methods.get(method.name) != method:
                yield f"{service.name}.{method.name}: gone or changed"


def _message(path: str, old: DescriptorProto, new: DescriptorProto) -> Iterator[str]:
    fields = {field.number: field for field in new.field}
    reserved = {number for span in new.reserved_range for number in range(span.start, span.end)}
    for field in old.field:
        after = fields.get(field.number)
        if after is None:
            if field.number not in reserved or field.name not in new.reserved_name:
                yield f"{path}.{field.name}: gone and not reserved"
        elif _shape(field, old) != _shape(after, new):
            yield f"{path}.{field.name}: changed"
    nested = {message.name: message for message in new.nested_type}
    for message in old.nested_type:
        if message.name in nested:
            yield from _message(f"{path}.{message.name}", message, nested[message.name])
        else:
            yield f"{path}.{message.name}: gone"


def _shape(field: FieldDescriptorProto, message: DescriptorProto) -> tuple[object, ...]:
    real_oneof = field.HasField("oneof_index") and not field.proto3_optional
    oneof = message.oneof_decl[field.oneof_index].name if real_oneof else None
    return field.name, field.type, field.label, field.type_name, field.proto3_optional, oneof


def _enum(old: EnumDescriptorProto, new: EnumDescriptorProto) -> Iterator[str]:
    values = {value.number: value.name for value in new.value}
    for value in old.value:
        if values.get(value.number) != value.name:
            yield f"{old.name}.{value.name}: gone or renamed"
