"""YAML by its lines: values with their place, and every problem gathered."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Final, TypeVar

import yaml

from affectstream.tone.problems import PolicyError, Problem

T = TypeVar("T")
MOST_BYTES: Final = 64 * 1024
_SHOWN: Final = 60
_MISSING: Final = "nothing"
_FAULTS: Final = (ValueError, OverflowError, RecursionError)
"""What YAML's reader lets out beside its own: of "\\UD800D800", and of many brackets."""


def parse(text: str, name: str) -> yaml.Node:
    """The document's root. Raises `PolicyError`."""
    if len(text.encode()) > MOST_BYTES:
        problem = Problem(0, "file", f"{len(text.encode())} bytes", f"at most {MOST_BYTES} bytes")
        raise PolicyError(name, [problem])
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 0
        raise PolicyError(name, [Problem(line, "YAML", error.problem or "a fault", "valid YAML")]) from None
    except (yaml.YAMLError, *_FAULTS):
        raise PolicyError(name, [Problem(0, "YAML", "a fault", "valid YAML, nested a few levels")]) from None
    if root is None:
        raise PolicyError(name, [Problem(0, "file", "nothing", "a policy")])
    return root


def line_of(node: yaml.Node) -> int:
    """Where it begins, from 1."""
    return int(node.start_mark.line) + 1


def shown(node: yaml.Node) -> str:
    """A value for an error."""
    match node:
        case yaml.ScalarNode():
            return repr(node.value[:_SHOWN])
        case yaml.MappingNode():
            return "a mapping"
        case _:
            return "a list"


class Reader:
    """Reads nodes and notes what is wrong with them; what it gives back in place of those is a default."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def wrong(self, node: yaml.Node, field: str, allowed: str, value: str = "") -> None:
        """Note a problem with a value."""
        self.problems.append(Problem(line_of(node), field, value or shown(node), allowed))

    def mapping(
        self, node: yaml.Node, field: str, known: Collection[str], required: Collection[str] = ()
    ) -> dict[str, yaml.Node]:
        """Values by key."""
        if not isinstance(node, yaml.MappingNode):
            self.wrong(node, field, f"a mapping with {', '.join(known)}")
            return {}
        found: dict[str, yaml.Node] = {}
        prefix = f"{field}." if field else ""
        for key, value in node.value:
            name = str(key.value)
            if name not in known:
                self.wrong(key, f"{prefix}{name}", ", ".join(known), "an unknown key")
            elif name in found:
                self.wrong(key, f"{prefix}{name}", "each key once", "it twice")
            else:
                found[name] = value
        for name in required:
            if name not in found:
                self.wrong(node, f"{prefix}{name}", "a value", _MISSING)
        return found

    def items(self, node: yaml.Node | None, field: str, most: int, least: int = 1) -> Sequence[yaml.Node]:
        """The items of a list."""
        if node is None:
            return ()
        if not isinstance(node, yaml.SequenceNode):
            self.wrong(node, field, f"a list of {least} to {most}")
            return ()
        if not least <= len(node.value) <= most:
            self.wrong(node, field, f"{least} to {most} items", f"{len(node.value)} items")
        return list(node.value[:most])

    def text(self, node: yaml.Node | None, field: str, fits: Callable[[str], bool], allowed: str) -> str:
        """A string that fits."""
        if node is None:
            return ""
        if isinstance(node, yaml.ScalarNode) and node.tag != "tag:yaml.org,2002:null" and fits(node.value):
            return str(node.value)
        self.wrong(node, field, allowed)
        return ""

    def one_of(self, node: yaml.Node | None, field: str, known: Collection[T], default: T) -> T:
        """A string of these."""
        if node is None:
            return default
        for value in known:
            if isinstance(node, yaml.ScalarNode) and node.value == value:
                return value
        self.wrong(node, field, ", ".join(map(str, known)))
        return default

    def number(
        self, node: yaml.Node | None, field: str, low: float, high: float, default: float = 0.0
    ) -> float:
        """A number in a range."""
        if node is None:
            return default
        if isinstance(node, yaml.ScalarNode) and node.tag.rpartition(":")[2] in ("int", "float"):
            try:
                value = float(node.value.replace("_", ""))
            except ValueError:  # such as 0x10 or 1:30
                value = float("nan")
            if low <= value <= high:
                return value
        self.wrong(node, field, f"a number, {low:g} to {high:g}")
        return default

    def whole(self, node: yaml.Node | None, field: str, low: int, high: int, default: int) -> int:
        """A whole number in a range."""
        value = self.number(node, field, low, high, default)
        if node is not None and value != int(value):
            self.wrong(node, field, f"a whole number, {low} to {high}")
        return int(value)
