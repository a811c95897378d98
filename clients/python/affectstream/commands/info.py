"""What a server is: models, labels, formats, limits, defaults and features.

Without --server: the version and the extras that are installed here.
"""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
import json
import platform
import re
import sys
from importlib import metadata

from affectstream.commands import access
from affectstream.config import Endpointing, Outputs
from affectstream.enums import name_of
from affectstream.errors import AffectStreamError
from affectstream.info import ServerInfo
from affectstream.timeouts import Timeouts
from affectstream.values import ModelInfo

BASE = ("grpcio", "protobuf", "numpy", "googleapis-common-protos")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream info`."""
    parser.add_argument(
        "--server", metavar="HOST:PORT", help="ask this server; without it: this installation"
    )
    parser.add_argument("--format", choices=("table", "json"), default="table", help="default: %(default)s")
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Print it."""
    if args.server is None:
        local = local_info()
        print(json.dumps(local, indent=2) if args.format == "json" else _local_text(local))
        return 0
    try:
        info = asyncio.run(_ask(args))
    except AffectStreamError as error:
        print(f"affectstream info: {error}", file=sys.stderr)
        return 1
    if args.format == "json":
        from google.protobuf.json_format import MessageToJson

        print(MessageToJson(info.proto))
    else:
        print(server_text(info, args.server))
    return 0


async def _ask(args: argparse.Namespace) -> ServerInfo:
    async with access.client(args.server, args, Timeouts(call_s=5)) as client:
        return await client.server_info()


def local_info() -> dict[str, object]:
    """Versions, and for each extra the packages that it lacks here."""
    return {
        "affectstream": metadata.version("affectstream"),
        "python": platform.python_version(),
        "platform": platform.platform(terse=True),
        "packages": {name: metadata.version(name) for name in BASE},
        "extras": {
            name: {"installed": not missing, "missing": missing}
            for name in sorted(metadata.metadata("affectstream").get_all("Provides-Extra") or [])
            for missing in [sorted(missing_packages(name))]
        },
    }


def missing_packages(extra: str) -> set[str]:
    """Packages that an extra names and that are not installed; extras may name other extras of ours."""
    lacking: set[str] = set()
    for requirement in metadata.requires("affectstream") or []:
        package, _, marker = requirement.partition(";")
        if not re.search(rf"extra == ['\"]{re.escape(extra)}['\"]", marker):
            continue
        own = re.match(r"affectstream\[([\w,-]+)\]", package)
        if own:
            lacking.update(*(missing_packages(name) for name in own.group(1).split(",")))
            continue
        name = re.split(r"[^\w.-]", package.strip(), maxsplit=1)[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            lacking.add(name)
    return lacking


def _local_text(local: dict[str, object]) -> str:
    lines = [f"affectstream {local['affectstream']}, Python {local['python']}, {local['platform']}"]
    packages, extras = local["packages"], local["extras"]
    if isinstance(packages, dict):
        lines.append("  " + ", ".join(f"{name} {number}" for name, number in packages.items()))
    lines.append("extras")
    if isinstance(extras, dict):
        for name, state in extras.items():
            what = "installed" if state["installed"] else "not installed: " + ", ".join(state["missing"])
            lines.append(f"  {name:<14}{what}")
    return "\n".join(lines)


def server_text(info: ServerInfo, server: str) -> str:
    """A server's answer for people."""
    encodings = ", ".join(name_of(encoding) for encoding in info.encodings)
    lines = [f"Affectstream {info.version} at {server}", "", "models"]
    for number, model in enumerate(info.models):
        lines += _model_lines(model, default=number == 0)
    if info.user_outputs:
        lines += ["", "user-defined outputs"]
    for output in info.user_outputs:
        uar = output.cross_validated_uar
        heard = f"mean recall {uar:.2f} in cross-validation" if uar is not None else "not validated"
        lines.append(_row(output.name, f"{', '.join(output.labels)}; {output.clips} clips, {heard}"))
    lines += [
        "",
        "audio",
        _row("encodings", encodings),
        _row("rate", f"{info.min_sample_rate_hz:,} to {info.max_sample_rate_hz:,} Hz"),
        _row("channels", f"1 to {info.max_channels}"),
        "",
        "features",
        "  " + ", ".join(sorted(name_of(feature) for feature in info.features)),
        "",
        "defaults",
        *_setting_lines(info.default_endpointing),
        *_setting_lines(info.default_outputs),
        "",
        "limits",
    ]
    for limit in info.limits:
        what = limit.status or "warning or cut"
        survives = "session goes on" if limit.session_survives else "ends the call"
        lines.append(_row(limit.name, f"{limit.value:>12,} {limit.unit:<8}{what}, {survives}"))
    lines += ["", "care", _row("consent basis", "required" if info.consent_required else "not required")]
    if info.refused_roles:
        lines.append(_row("refused roles", ", ".join(name_of(role) for role in info.refused_roles)))
    if info.transparency_notice:
        lines.append(_row("notice", info.transparency_notice))
    return "\n".join(lines)


def _model_lines(model: ModelInfo, *, default: bool) -> list[str]:
    return [
        f"  {model.name} {model.version}{' (default)' if default else ''}",
        _row("  labels", ", ".join(model.labels)),
        _row("  dimensions", ", ".join(model.dimensions) or "none"),
        _row("  calibrated", "yes" if model.calibrated else "no"),
        _row("  precision", model.precision or "not given"),
        _row("  longest audio", f"{model.max_audio_ms:,} ms"),
        _row("  embedding", f"{model.embedding_size} values" if model.embedding_size else "none"),
        _row("  digest", model.digest or "not given"),
    ]


def _setting_lines(settings: Endpointing | Outputs) -> list[str]:
    lines = []
    for item in dataclasses.fields(settings):
        value = getattr(settings, item.name)
        if value is None:
            continue
        if isinstance(value, bool):
            text = "yes" if value else "no"
        else:
            text = f"{value:g}" if isinstance(value, float) else name_of(value)
        lines.append(_row(item.name, text))
    return lines


def _row(name: str, text: str) -> str:
    return f"  {name:<24}{text}"
