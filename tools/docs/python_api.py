"""The Python API: which names are public, in which order they are shown, and what is said of their fields.

The text under a name is its docstring, which mkdocstrings renders. A field or a member of an enumeration that
has none is the wire's: it is described by the proto's comment, which `griffe_wire` puts there.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tools.docs.markdown import page

_Documented = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
PACKAGE = Path(__file__).resolve().parents[2] / "clients/python/affectstream"


@dataclass(frozen=True)
class Module:
    """Names of a module under one heading."""

    title: str
    name: str
    only: tuple[str, ...] = ()
    """Empty: every public one."""


PAGES: Final = {
    "python.md": (
        "Python API",
        "`pip install affectstream`. How to use it: [the Python client](../client.md). What events hold: "
        "[events](python-events.md).",
        (
            Module("Client", "client"),
            Module("Stream", "stream"),
            Module("Controls", "controls", ("Controls", "SentControl")),
            Module("Watch", "watch"),
            Module("Configuration", "config"),
            Module("Time-outs", "timeouts", ("Timeouts",)),
            Module("TLS", "tls"),
            Module("Reconnecting", "reconnect", ("Reconnect",)),
            Module("What a server is", "info"),
            Module("Errors", "errors"),
            Module("Reasons", "reasons"),
            Module("Tone", "tone.guide"),
            Module("Tone: notes", "tone.note"),
            Module("Tone: policies", "tone.policy", ("Policy",)),
            Module("Tone: problems", "tone.problems", ("PolicyError",)),
            Module("Pipecat", "integrations.pipecat"),
            Module("LiveKit Agents", "integrations.livekit"),
            Module("The contract", "contract"),
        ),
    ),
    "python-events.md": (
        "Python events",
        "Frozen dataclasses, one for each kind of event of [the proto](proto.md#sessionevent). A number that "
        "is None was not given; it is never zero.",
        (
            Module("Events", "events"),
            Module("The line", "states"),
            Module("Values", "values"),
            Module("Enumerations", "enums"),
        ),
    ),
}

_ON_THE_WIRE: Final = {
    "Channel": "ChannelConfig",
    "Endpointing": "EndpointingConfig",
    "Event": "SessionEvent",
    "LocalEvent": "SessionEvent",
    "ModelInfo": "Model",
    "Outputs": "OutputConfig",
    "Polar": "PolarAffect",
    "Quality": "AudioQuality",
    "ServerInfo": "GetServerInfoResponse",
    "StreamConfig": "SessionConfig",
}
"""Classes whose message is named otherwise."""


@dataclass(frozen=True)
class Name:
    """A public name and what is said of it."""

    path: str
    """Such as ``affectstream.config.AudioFormat.encoding``."""
    doc: str
    """Its own docstring."""
    inherited: str = ""
    """Where it has none: that of the class it extends, or the proto's comment."""


@dataclass(frozen=True)
class _Class:
    bases: tuple[str, ...]
    members: Mapping[str, str]


def render(title: str, about: str, modules: tuple[Module, ...]) -> str:
    """A page of directives for mkdocstrings."""
    parts = [about]
    for module in modules:
        parts.append(f"## {module.title}")
        parts += [f"::: affectstream.{module.name}.{name}" for name in _public(module)]
    return page(title, "the docstrings", *parts)


def names(comments: Mapping[str, str]) -> Iterator[Name]:
    """Every public class, function, method, field and member. ``comments``: the proto's, by element."""
    modules = [module for _, _, shown in PAGES.values() for module in shown]
    classes = {
        name: _Class(
            tuple(base.id for base in node.bases if isinstance(base, ast.Name)), dict(_members(node))
        )
        for module in modules
        for name, node in _tree(module).items()
        if isinstance(node, ast.ClassDef)
    }
    for module in modules:
        tree = _tree(module)
        for name in _public(module):
            path = f"affectstream.{module.name}.{name}"
            yield Name(path, ast.get_docstring(tree[name]) or "")
            if name in classes:
                for member, doc in classes[name].members.items():
                    inherited = _inherited(name, member, classes) or _on_the_wire(name, member, comments)
                    yield Name(f"{path}.{member}", doc, "" if doc else inherited)


def _public(module: Module) -> tuple[str, ...]:
    return module.only or tuple(name for name in _tree(module) if not name.startswith("_"))


def _tree(module: Module) -> dict[str, _Documented]:
    source = (PACKAGE / f"{module.name.replace('.', '/')}.py").read_text(encoding="utf-8")
    return {node.name: node for node in ast.parse(source).body if isinstance(node, _Documented)}


def _members(node: ast.ClassDef) -> Iterator[tuple[str, str]]:
    for name, doc in _stated(node.body):
        if not name.startswith("_"):
            yield name, doc
    for statement in node.body:
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            for name, doc in _stated(statement.body):
                if name.startswith("self.") and not name.startswith("self._"):
                    yield name.removeprefix("self."), doc


def _stated(body: Sequence[ast.stmt]) -> Iterator[tuple[str, str]]:
    """Names that the statements define, each with the text under it."""
    for statement, after in zip(body, [*body[1:], None], strict=True):
        match statement:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, ast.get_docstring(statement) or ""
            case ast.AnnAssign(target=target) | ast.Assign(targets=[target]):
                text = after.value if isinstance(after, ast.Expr) else None
                yield ast.unparse(target), str(text.value) if isinstance(text, ast.Constant) else ""


def _inherited(name: str, member: str, classes: Mapping[str, _Class]) -> str:
    for base in classes[name].bases:
        if base in classes:
            doc = classes[base].members.get(member) or _inherited(base, member, classes)
            if doc:
                return doc
    return ""


def _on_the_wire(owner: str, member: str, comments: Mapping[str, str]) -> str:
    message = _ON_THE_WIRE.get(owner, owner)
    prefix = "".join(f"_{letter}" if letter.isupper() else letter.upper() for letter in message)[1:]
    candidates = (member, f"{member}_duration", f"{prefix}_{member}")
    return next((found for each in candidates if (found := comments.get(f"{message}.{each}", ""))), "")
