"""What a server with default settings says of its limits, formats and features."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from inspect import getsource
from itertools import pairwise
from typing import Final

from affectstream import AffectClient, ServerInfo, contract
from affectstream.enums import name_of
from affectstream_server.lifecycle import Server
from affectstream_server.settings import Settings, load
from tools.docs.markdown import page, prose, table

_SETTINGS: Final = {
    "analyses": "server.max_analyses",
    "connections": "server.max_connections",
    "resume_ms": "server.resume_s",
    "retention_events": "bus.retention_events",
    "retention_ms": "bus.retention_s",
    "retention_tenant_events": "bus.tenant_events",
    "stream_age_ms": "server.stream_age_s",
    "streams": "server.max_streams",
    "tenant_analyses": "quotas.analyses",
    "tenant_audio_rate": "quotas.audio_rate",
    "tenant_streams": "quotas.streams",
    "tenant_utterances_per_minute": "quotas.utterances_per_minute",
    "watchers": "bus.max_watchers",
}
"""Limits that a setting sets; the others are of the contract."""

_ASKED: Final = {
    "server": {"address": "127.0.0.1:0"},
    "quotas": {"streams": 1, "analyses": 1, "audio_rate": 1, "utterances_per_minute": 1},
}
"""Defaults, but for a tenant's quotas: without any they are not told."""


@dataclass(frozen=True)
class Limit:
    """A bound as it is told."""

    name: str
    value: str
    unit: str
    at_it: str
    about: str


async def server_info() -> ServerInfo:
    """What a real server answers."""
    server = Server(load(environ={}, overrides=_ASKED))
    await server.start()
    try:
        async with AffectClient(server.address) as client:
            return await client.server_info()
    finally:
        await server.drain_and_stop()


def limits(info: ServerInfo) -> Iterator[Limit]:
    """Every bound, with what it bounds: the setting's words, or the contract's."""
    words = _words()
    for name, limit in sorted((limit.name, limit) for limit in info.limits):
        key = _SETTINGS.get(name)
        about = f"`{key}`: {_about(key)}" if key else words.get(name, "")
        then = limit.status or "a warning or a cut"
        goes_on = "the session goes on" if limit.session_survives else "the call ends"
        yield Limit(name, f"{limit.value:,}", limit.unit, f"{then}; {goes_on}", about)


def render() -> str:
    """The page."""
    info = asyncio.run(server_info())
    every = [[f"`{one.name}`", one.value, one.unit, one.at_it, prose(one.about)] for one in limits(info)]
    quotas = [row[:1] + row[2:] for row in every if row[0].startswith("`tenant_")]
    rows = [row for row in every if not row[0].startswith("`tenant_")]
    return page(
        "Limits",
        "GetServerInfo of a server with default settings",
        "What `affectstream info --server HOST:PORT` and `GetServerInfo` say where no setting was changed. "
        "`session_started` says them for its stream.",
        "## Of every server",
        table(["limit", "value", "unit", "when it is passed", ""], rows),
        "## Of a tenant",
        "Told where such a quota is set: [tenants](../tenants.md).",
        table(["limit", "unit", "when it is passed", ""], quotas),
        "## Formats and features",
        table(
            ["what", "by default"],
            [
                ["encodings", ", ".join(f"`{name_of(one)}`" for one in info.encodings)],
                ["sample rates", f"{info.min_sample_rate_hz:,} to {info.max_sample_rate_hz:,} Hz"],
                ["channels", f"1 to {info.max_channels}"],
                ["models", ", ".join(f"`{model.name}` {model.version}" for model in info.models)],
                ["features", ", ".join(f"`{name_of(one)}`" for one in sorted(info.features))],
            ],
        ),
        "Opus is there with the extra `opus`. [The proto](proto.md#feature) says what each feature is.",
    )


def _about(key: str) -> str:
    section, _, name = key.partition(".")
    annotation = Settings.model_fields[section].annotation
    return str(getattr(annotation, "model_fields")[name].description)  # noqa: B009 - its type is not known here


def _words() -> dict[str, str]:
    """The text under each field of the contract's `Limits`."""
    (body,) = (
        node.body for node in ast.parse(getsource(contract.Limits)).body if isinstance(node, ast.ClassDef)
    )
    found = {}
    for field, text in pairwise(body):
        if (
            isinstance(field, ast.AnnAssign)
            and isinstance(text, ast.Expr)
            and isinstance(text.value, ast.Constant)
        ):
            found[ast.unparse(field.target)] = " ".join(str(text.value.value).split())
    return found
