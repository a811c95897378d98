"""Every setting of the server: key, environment variable, default, range, what it does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Any, Literal, Union, cast, get_args, get_origin

import annotated_types
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from affectstream.environment import CLIENT_ENV
from affectstream_server.settings import ENV_PREFIX, RESERVED_ENV, Settings
from tools.docs.markdown import page, prose, table

_NOT_SERVER = sorted(RESERVED_ENV - set(CLIENT_ENV))


@dataclass(frozen=True)
class Setting:
    """One key."""

    key: str
    """Such as ``server.address``; of a tenant: ``tenants.NAME.streams``."""
    default: str
    allowed: str
    about: str

    @property
    def variable(self) -> str:
        """The environment variable; empty: none, a tenant's is set as a whole."""
        section, _, key = self.key.partition(".")
        return "" if section == "tenants" else f"{ENV_PREFIX}{section.upper()}__{key.upper()}"


@dataclass(frozen=True)
class Part:
    """One section."""

    name: str
    about: str
    settings: tuple[Setting, ...]


def parts() -> Iterator[Part]:
    """Every section in the order of the settings."""
    for name, field in Settings.model_fields.items():
        model, path = _section(name, field)
        about = " ".join((model.__doc__ or "").split())
        yield Part(
            name, about, tuple(_setting(f"{path}.{key}", each) for key, each in model.model_fields.items())
        )


def render() -> str:
    """The page."""
    text = [
        "`affectstream serve --config settings.yaml`. Environment variables go over the file, options of the "
        "command line over both. The server refuses to start with a key that does not exist or a value that "
        "is not allowed, and names it. `affectstream serve --check` prints what is in force.",
    ]
    for part in parts():
        rows = [
            [
                f"`{setting.key}`" + (f"\n`{setting.variable}`" if setting.variable else ""),
                f"`{setting.default}`",
                setting.allowed,
                prose(setting.about),
            ]
            for setting in part.settings
        ]
        text += [f"## {part.name}", prose(part.about)]
        text.append(table(["key and environment variable", "default", "allowed", ""], rows))
    text += [
        "## Other variables",
        f"Those that `affectstream` connects with: {_names(sorted(CLIENT_ENV))}; see [CLI](cli.md). "
        f"{_names(_NOT_SERVER)} are read by tests, by `serve` and by examples, and are no settings.",
    ]
    return page("Settings", "the settings' models", *text)


def _section(name: str, field: FieldInfo) -> tuple[type[BaseModel], str]:
    annotation = field.annotation
    if get_origin(annotation) is dict:
        return get_args(annotation)[1], f"{name}.NAME"
    return cast("type[BaseModel]", annotation), name


def _setting(key: str, field: FieldInfo) -> Setting:
    return Setting(
        key, _default(field.get_default(call_default_factory=True)), _allowed(field), field.description or ""
    )


def _names(variables: Iterable[str]) -> str:
    return ", ".join(f"`{name}`" for name in variables)


def _default(value: Any) -> str:
    if isinstance(value, SecretStr):
        value = value.get_secret_value()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return '""' if value == "" else f"{value:.12g}" if isinstance(value, float) else str(value)


def _allowed(field: FieldInfo) -> str:
    choices = _choices(field.annotation)
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    words = [_kind(field.annotation)]
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge(ge=least):
                words.append(f"from {_figure(least)}")
            case annotated_types.Gt(gt=least):
                words.append(f"above {least}")
            case annotated_types.Le(le=most):
                words.append(f"to {_figure(most)}")
            case annotated_types.Lt(lt=most):
                words.append(f"below {most}")
            case annotated_types.MinLen(min_length=least):
                words.append(f"from {least}")
            case annotated_types.MaxLen(max_length=most):
                words.append(f"to {most:,} characters")
            case _ if pattern := getattr(rule, "pattern", None):
                words.append(f"`{pattern}`")
    return " ".join(filter(None, words))


def _figure(value: Any) -> str:
    return f"{value:,.12g}"


def _choices(annotation: Any) -> tuple[str, ...]:
    if get_origin(annotation) is Literal:
        return get_args(annotation)
    if get_origin(annotation) is tuple:
        return _choices(get_args(annotation)[0])
    return ()


def _kind(annotation: Any) -> str:
    if get_origin(annotation) in (Union, UnionType):
        return " or ".join(_kind(each) for each in get_args(annotation))
    names = {
        int: "whole number",
        float: "number",
        str: "text",
        bool: "true, false",
        SecretStr: "text, secret",
    }
    origins = {tuple: "list of texts", dict: "texts by text", type(None): "null"}
    return names.get(annotation) or origins.get(get_origin(annotation) or annotation, "")
