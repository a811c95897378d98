"""What pages name of the product: settings, variables, options, reasons and other words in capitals."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import yaml

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.settings import RESERVED_ENV, Settings
from tools.docs import commands, settings

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
PYTHON = re.compile(r"^```python.*?^```$", re.DOTALL | re.MULTILINE)
CODE = re.compile(r"`([^`\n]+)`")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]+")
WORD = re.compile(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b")
_SOURCES = ("server", "clients", "tools", "bench", "quality", "examples", "protos", "triton_repo", "tests")
_OTHERS = {
    *("ENHANCE_YOUR_CALM", "GRPC_TRACE", "S16_LE", "--enable-feature"),
    *("OTEL_EXPORTER_OTLP_HEADERS", "--trace-config", "LOAD_STREAMS", "--full"),
}
"""Of HTTP/2, gRPC, arecord, Prometheus, OpenTelemetry, Triton, deploy/demo.compose.yml and our pytest."""
_FETCHED = {"node_modules", "build"}
_SUFFIXES = {".py", ".proto", ".toml", ".pbtxt", ".lua", ".sh", ".js", ".mjs", ".html", ".go", ".cc"}


def unknown(text: str) -> list[str]:
    """Names in a page that nothing has."""
    code = [*CODE.findall(FENCE.sub("", text)), *(body for _, body in FENCE.findall(text))]
    everything = "\n".join(code)
    found = [f"setting {name}" for name in _settings_in(everything) if name not in _settings()]
    found += [f"variable {name}" for name in _variables_in(text) if name not in _variables()]
    found += [f"option {option} of {line!r}" for line in code for option in _wrong_options(line)]
    prose = PYTHON.sub("", text)  # what a program names is its own
    found += [f"word {name}" for name in WORD.findall(prose) if name not in _words() | _OTHERS]
    for kind, body in FENCE.findall(text):
        found += (
            [f"setting {name}" for name in _in_yaml(body) if name not in _settings()]
            if kind == "yaml"
            else []
        )
    return found


@cache
def _settings() -> set[str]:
    asked = pb.SessionConfig.DESCRIPTOR.fields_by_name  # a stream asks for its own by the same names
    of_streams = {
        f"{name}.{field.name}"
        for name in asked.keys() & Settings.model_fields.keys()
        for field in getattr(asked[name].message_type, "fields", ())
    }
    return of_streams | _chart() | {setting.key for part in settings.parts() for setting in part.settings}


def _chart() -> set[str]:
    """Values of the Helm chart, of which some sections have the settings' names."""
    values = yaml.safe_load((ROOT / "deploy/helm/affectstream/values.yaml").read_text(encoding="utf-8"))
    named = {f"{name}.{key}" for name, held in values.items() if isinstance(held, dict) for key in held}
    return named | {"tls.crt", "tls.key"}  # what a secret of a certificate holds


def _settings_in(code: str) -> list[str]:
    sections = "|".join(Settings.model_fields)
    return re.findall(rf"(?<![\w./-])((?:{sections})\.[a-z][a-z_]+)\b(?![.(/])", code)


def _in_yaml(body: str) -> list[str]:
    """Keys of the settings that are shown; nothing where it is no settings file."""
    shown = yaml.safe_load(body)
    if not isinstance(shown, dict) or not set(shown) & set(Settings.model_fields):
        return []
    names = []
    for section, values in shown.items():
        inner = values.values() if section == "tenants" else [values]
        prefix = "tenants.NAME" if section == "tenants" else section
        names += [f"{prefix}.{key}" for each in inner for key in each]
    return names


@cache
def _variables() -> frozenset[str]:
    declared = {setting.variable for part in settings.parts() for setting in part.settings}
    source = set(re.findall(r"AFFECTSTREAM_[A-Z_]+", _source()))
    return frozenset(declared | RESERVED_ENV | {name for name in source if "__" not in name})


def _variables_in(text: str) -> list[str]:
    named = re.findall(r"\bAFFECTSTREAM_[A-Z_]+\b", text)
    return [name for name in named if not re.search(r"__KEY$|TENANTS__", name)]


def _wrong_options(code: str) -> list[str]:
    """Options that its program has not; of options alone: that no program of ours has."""
    wrong = []
    for line in code.splitlines():
        command = re.search(r"\b(affectstream(?:-models)? [a-z]+)\b(.*)", line)
        if command and command[1] in _commands():
            ours = re.split(r"[|;&]", command[2])[0]
            wrong += [
                option
                for option in OPTION.findall(ours)
                if option != "--help" and option not in _commands()[command[1]]
            ]
        elif line.strip().startswith("--"):
            wrong += [option for option in OPTION.findall(line) if option not in _options() | _OTHERS]
    return wrong


@cache
def _commands() -> dict[str, frozenset[str]]:
    found: dict[str, frozenset[str]] = {}
    for command in commands.commands():
        found[command.name] = frozenset(OPTION.findall(" ".join(option.name for option in command.options)))
    return found


@cache
def _options() -> frozenset[str]:
    """Every long option in the source, of programs for development too."""
    declared = set().union(*_commands().values())
    for file in (file for folder in _SOURCES for file in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            if node.func.attr == "add_argument":
                declared |= {str(one.value) for one in node.args if isinstance(one, ast.Constant)}
    return frozenset(declared)


@cache
def _words() -> frozenset[str]:
    return frozenset(re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", _source())) | {
        value.removeprefix(prefix)
        for value in re.findall(r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b", _source())
        for prefix in _prefixes(value)
    }


def _prefixes(value: str) -> list[str]:
    """Beginnings that a value's short name is without: `AFFECT_STATUS_` of `AFFECT_STATUS_LOW_SNR`."""
    parts = value.split("_")
    return ["_".join(parts[:count]) + "_" for count in range(1, len(parts) - 1)]


@cache
def _source() -> str:
    files = [
        file
        for folder in _SOURCES
        for file in (ROOT / folder).rglob("*")
        if file.suffix in _SUFFIXES and not _FETCHED & set(file.parts)
    ]
    extra = [ROOT / "Makefile", ROOT / "docker-compose.yml"]
    return "\n".join(
        file.read_text(encoding="utf-8") for file in (*files, *extra) if not file.is_relative_to(HERE)
    )
