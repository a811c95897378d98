"""The reference has everything that the code has, each with its description."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import affectstream
from affectstream import cli, contract
from affectstream.reasons import BRIDGE, CLIENT, SERVER, WARNINGS
from affectstream.v1 import affect_pb2 as pb
from affectstream_models import cli as models_cli
from affectstream_server.settings import load
from tools.docs import commands, limits, proto, python_api, reasons, settings
from tools.docs.__main__ import fields_without_docstrings

ROOT = Path(__file__).resolve().parents[2]


def test_every_call_message_field_and_value_has_a_comment_and_its_row() -> None:
    file = proto.contract()
    elements = list(proto.elements(file))
    text = proto.render(file)
    assert [element.name for element in elements if not element.comment.strip()] == []
    assert [e.name for e in elements if f"{e.name.rpartition('.')[2]}" not in text] == []
    names = {element.name for element in elements}
    assert set(pb.DESCRIPTOR.message_types_by_name) | set(pb.DESCRIPTOR.enum_types_by_name) <= names
    for message in pb.DESCRIPTOR.message_types_by_name.values():
        assert {f"{message.name}.{field.name}" for field in message.fields} <= names
    calls = pb.DESCRIPTOR.services_by_name["AffectService"].methods
    assert all(f"### {call.name}\n" in text for call in calls)


def test_every_setting_has_its_row_and_its_variable_works() -> None:
    text = settings.render()
    shown = {setting.key: setting for part in settings.parts() for setting in part.settings}
    printed = {
        f"{section}.{key}"
        for section, values in load(environ={}).model_dump(mode="json").items()
        for key in values
    }
    assert printed <= set(shown)
    assert [part.name for part in settings.parts() if len(part.about) < 5] == []
    assert [key for key, setting in shown.items() if len(setting.about) < 5 or not setting.allowed] == []
    for key, setting in shown.items():
        assert f"| `{key}`" in text
        if setting.variable and setting.default not in ("null", '""', "{}"):
            assert f"`{setting.variable}`" in text
            assert load(environ={setting.variable: setting.default}) == load(environ={}), key


async def test_every_limit_of_a_real_server_has_its_row() -> None:
    info = await limits.server_info()
    shown = list(limits.limits(info))
    assert {limit.name for limit in info.limits} == {one.name for one in shown}
    assert [one.name for one in shown if len(one.about) < 10] == []
    told = {one.name for one in shown} | {"labels", "transcript_bytes"}  # transcripts are not served yet
    assert set(contract.Limits.__slots__) <= told


def test_the_page_of_limits_has_them_all() -> None:
    text = limits.render()
    assert "| `chunk_ms` | 1,000 | ms | INVALID_ARGUMENT; the call ends | Audio in a message. |" in text
    assert "| `tenant_streams` | count |" in text
    assert "| `streams` | 1,000 | count |" in text


def test_every_reason_and_warning_has_its_row() -> None:
    text = reasons.render()
    assert [name for name in (*SERVER, *BRIDGE, *CLIENT, *WARNINGS) if f"| `{name}` |" not in text] == []


def options_of(file: Path) -> Iterator[str]:
    """The long options that a module declares in words."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("add_argument"):
            given = [str(one.value) for one in node.args if isinstance(one, ast.Constant)]
            yield from (name for name in given if name.startswith("--"))


def test_every_command_and_option_has_its_row() -> None:
    shown = {command.name: command for command in commands.commands()}
    text = commands.render()
    models = {f"affectstream-models {command.name}": command for command in models_cli.COMMANDS}
    assert set(shown) == {f"affectstream {name}" for name in cli.COMMANDS} | set(models)
    for name, command in shown.items():
        assert f"## {name}\n" in text
        assert command.summary
        assert len(command.description) > 10
        assert [option.name for option in command.options if not option.about] == []
    for name, there in models.items():
        file = ROOT / "server" / f"{there.module.replace('.', '/')}.py"
        told = {option.name.split()[0].rstrip(",") for option in shown[name].options}
        assert set(options_of(file)) == {option for option in told if option.startswith("--")}


def test_every_public_python_name_is_shown_and_described() -> None:
    pages = "".join(python_api.render(*page) for page in python_api.PAGES.values())
    shown = {name.rpartition(".")[2] for name in re.findall(r"^::: (\S+)$", pages, re.MULTILINE)}
    assert set(affectstream.__all__) <= shown
    comments = {element.name: element.comment for element in proto.elements(proto.contract())}
    names = list(python_api.names(comments))
    assert [name.path for name in names if not name.doc and not name.inherited] == []
    assert len(names) > 400


@pytest.mark.parametrize(
    ("path", "word"),
    [
        ("affectstream.events.AffectEvent.utterance_id", "speech_started"),
        ("affectstream.enums.AffectStatus.LOW_SNR", "noise"),
        ("affectstream.values.StateShare.speech", "Speech"),
        ("affectstream.states.AudioLost.epoch", ""),
    ],
)
def test_fields_without_a_docstring_are_described_as_on_the_wire(path: str, word: str) -> None:
    texts = fields_without_docstrings()
    if word:
        assert word in texts[path]
    else:
        assert path not in texts, "it is inherited, and shown where it is declared"
