"""What `--help` of every command says, as a page."""

from __future__ import annotations

import argparse
import ast
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

from affectstream import cli
from affectstream_models import cli as models_cli
from tools.docs.markdown import page, prose, table


@dataclass(frozen=True)
class Option:
    """An option or an argument."""

    name: str
    about: str


@dataclass(frozen=True)
class Command:
    """One command with its help."""

    name: str
    """Such as ``affectstream serve``."""
    summary: str
    description: str
    usage: str
    options: tuple[Option, ...]


def commands() -> Iterator[Command]:
    """Every command of both programs."""
    for name, summary in cli.COMMANDS.items():
        module = import_module(f"affectstream.commands.{name}")
        parser = argparse.ArgumentParser(prog=f"affectstream {name}", description=module.__doc__)
        module.add_arguments(parser)
        yield _command(parser, summary)
    for command in models_cli.COMMANDS:
        with _without_torch():
            top = models_cli.parser_for(command.name)
        (subparsers,) = (each for each in top._actions if isinstance(each, argparse._SubParsersAction))
        yield _command(subparsers.choices[command.name], command.help)


def render() -> str:
    """The page."""
    found = list(commands())
    parts = [
        "`--help` says the same. Exit status of all: 0 it went well, 1 the server or the stream failed, "
        "2 wrong usage, 130 interrupted. [Examples](../client.md#the-command-line).",
        table(
            ["command", ""],
            ([f"[{one.name}](#{one.name.replace(' ', '-')})", prose(one.summary)] for one in found),
        ),
    ]
    for one in found:
        parts += [f"## {one.name}", _paragraphs(one.description), f"```\n{one.usage}\n```"]
        rows = [[f"`{option.name}`", prose(option.about)] for option in one.options]
        parts.append(table(["option", ""], rows) if rows else "No options.")
    return page("Command line", "the programs' own help", *parts)


def _command(parser: argparse.ArgumentParser, summary: str) -> Command:
    formatter = argparse.HelpFormatter(parser.prog, width=100)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups, prefix="")
    return Command(
        name=parser.prog,
        summary=summary,
        description=(parser.description or "").strip(),
        usage=formatter.format_help().strip(),
        options=tuple(_option(parser, action) for action in parser._actions if action.dest != "help"),
    )


def _option(parser: argparse.ArgumentParser, action: argparse.Action) -> Option:
    formatter = argparse.HelpFormatter(parser.prog, width=1_000)
    name = formatter._format_action_invocation(action)
    if isinstance(action.choices, list | tuple) and not action.option_strings:
        name = action.metavar if isinstance(action.metavar, str) else action.dest
    return Option(name, formatter._expand_help(action) if action.help else "")


def _paragraphs(text: str) -> str:
    return "\n\n".join(prose(part) for part in text.split("\n\n"))


class _Anything(type):
    """A class to inherit from, a decorator, a constant."""

    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Something

    def __call__(cls, *given: Any, **_: Any) -> Any:
        return given[0] if given else cls


class _Something(metaclass=_Anything): ...


class _Absent(ModuleType):
    """Stands for a library that is not installed here and that no option needs."""

    __path__: list[str] = []  # noqa: RUF012 - a package's

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return _Something


class _Finder(MetaPathFinder, Loader):
    def __init__(self) -> None:
        self._absent = {name for name in _imported() if find_spec(name) is None}

    def find_spec(self, name: str, *_: Any) -> ModuleSpec | None:
        return ModuleSpec(name, self, is_package=True) if name.partition(".")[0] in self._absent else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return _Absent(spec.name)

    def exec_module(self, module: ModuleType) -> None: ...


def _imported() -> Iterator[str]:
    """What the modules of the models import, without what is below it."""
    for file in Path(str(models_cli.__file__)).parent.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                yield node.module.partition(".")[0]


@contextmanager
def _without_torch() -> Iterator[None]:
    """Let commands be imported for their options alone, where what they work with is not installed."""
    before, finder = set(sys.modules), _Finder()
    sys.meta_path.append(finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        for name in set(sys.modules) - before:
            if isinstance(sys.modules[name], _Absent) or name.startswith("affectstream_models"):
                del sys.modules[name]
