"""Messages as proto3 JSON: requests read, with what is wrong named in our own words, and events written."""

from __future__ import annotations

import json
import re
from typing import Any, Final

from google.protobuf import json_format
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from affectstream import errors
from affectstream.bridge.faults import malformed
from affectstream.v1 import affect_pb2 as pb

SHOWN: Final = 64
"""Characters of a wrong name or value that an error repeats."""

_BASE64: Final = re.compile(r"[A-Za-z0-9+/_-]*={0,2}")
_PARSER_FAULTS: Final = (
    json_format.Error,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    RecursionError,
    SystemError,  # of its maps of names, for half a character
)
_EXPECTED: Final = {
    FieldDescriptor.CPPTYPE_BOOL: "true or false",
    FieldDescriptor.CPPTYPE_DOUBLE: "a number",
    FieldDescriptor.CPPTYPE_FLOAT: "a number",
    FieldDescriptor.CPPTYPE_INT32: "a whole number",
    FieldDescriptor.CPPTYPE_INT64: "a whole number, as text or not",
    FieldDescriptor.CPPTYPE_UINT32: "a whole number from 0",
    FieldDescriptor.CPPTYPE_UINT64: "a whole number from 0, as text or not",
    FieldDescriptor.CPPTYPE_STRING: "text",
    FieldDescriptor.CPPTYPE_MESSAGE: "an object",
}


def read_json(text: str) -> dict[str, Any]:
    """The object that a text message holds. Raises `InvalidRequest`."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise malformed("message", "text that is no JSON", "an object in JSON") from None
    if not isinstance(found, dict):
        raise malformed("message", "JSON that is no object", "an object in JSON")
    return found


def read_request(text: str) -> pb.StreamAffectRequest:
    """A text message as the server takes it.

    Raises:
        InvalidRequest: it is none; the error names the first field that is wrong.
    """
    found = read_json(text)
    request = pb.StreamAffectRequest()
    try:
        json_format.ParseDict(found, request)
    except _PARSER_FAULTS:
        raise _fault(pb.StreamAffectRequest(), found, "") from None
    if request.HasField("audio"):
        audio = found["audio"]
        if not isinstance(audio, dict):  # the parser takes what is empty for an empty object
            raise malformed("audio", "no object", "an object")
        data = audio.get("data") or ""
        if not _BASE64.fullmatch(data):  # the parser passes over such characters: other audio would be heard
            field = pb.AudioChunk.DESCRIPTOR.fields_by_name["data"]
            raise malformed("audio.data", _shown(field, data), "base64")
    return request


def event_text(event: pb.SessionEvent) -> str:
    """An event as a text message."""
    return text_of({"event": json_format.MessageToDict(event)})


def text_of(message: dict[str, Any]) -> str:
    """JSON without spaces."""
    return json.dumps(message, separators=(",", ":"))


def _fault(message: Message, given: dict[str, Any], path: str) -> errors.InvalidRequest:
    """What is wrong with an object that does not parse: its first wrong field."""
    fields: dict[str, Any] = {
        name: field for field in message.DESCRIPTOR.fields for name in (field.json_name, field.name)
    }
    for name, value in given.items():
        field = fields.get(name)
        if field is None:
            known = ", ".join(field.json_name for field in message.DESCRIPTOR.fields)
            shown = name[:SHOWN].encode("utf-8", "backslashreplace").decode()
            return malformed(f"{path}{shown}", "a field that is not known", f"one of {known}")
        if not _parses(message, {name: value}):
            return _field_fault(message, field, value, f"{path}{field.name}")
    return malformed(path.rstrip(".") or "message", "fields that exclude each other", "one of them")


def _field_fault(message: Message, field: FieldDescriptor, value: Any, path: str) -> errors.InvalidRequest:
    is_map = field.message_type is not None and field.message_type.GetOptions().map_entry
    if field.is_repeated and not is_map:
        if not isinstance(value, list):
            return malformed(path, _shown(field, value), "a list")
        for index, each in enumerate(value):
            if not _parses(message, {field.json_name: [each]}):
                inner = getattr(type(message)(), field.name)
                if field.message_type is None or not isinstance(each, dict):
                    return malformed(f"{path}[{index}]", _shown(field, each), _expected(field))
                return _fault(inner.add(), each, f"{path}[{index}].")
    if isinstance(value, dict) and field.message_type is not None and not is_map:
        return _fault(getattr(type(message)(), field.name), value, f"{path}.")
    return malformed(path, _shown(field, value), "texts by name" if is_map else _expected(field))


def _parses(message: Message, given: dict[str, Any]) -> bool:
    try:
        json_format.ParseDict(given, type(message)())
    except _PARSER_FAULTS:
        return False
    return True


def _expected(field: FieldDescriptor) -> str:
    if field.enum_type is not None:
        return "one of " + ", ".join(value.name for value in field.enum_type.values[1:])
    if field.type == FieldDescriptor.TYPE_BYTES:
        return "base64"
    return _EXPECTED.get(field.cpp_type, "another value")


def _shown(field: FieldDescriptor, value: Any) -> str:
    """A wrong value in short. Bytes may be a secret: only how many there are."""
    if field.type == FieldDescriptor.TYPE_BYTES and isinstance(value, str):
        return f"{len(value)} characters that are no base64"
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return json.dumps(value)[:SHOWN]
