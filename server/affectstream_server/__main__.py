"""`affectstream serve`, or `python -m affectstream_server`."""

from __future__ import annotations

import argparse
import asyncio
import gc
import os
import sys
from pathlib import Path
from typing import Any

from affectstream_server.cannot_listen import CannotListen
from affectstream_server.cores import cores
from affectstream_server.settings import Settings, SettingsError, load
from affectstream_server.telemetry.logging import configure


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `affectstream serve`."""
    parser.description = (
        "Serve affect events over gRPC. Settings come from a YAML file, then from AFFECTSTREAM_SECTION__KEY "
        "variables, then from the options here. When streams are accepted, one line says so on stdout: "
        "'affectstream: ready on HOST:PORT'. SIGTERM drains: open utterances are finished first."
    )
    parser.add_argument(
        "--config", type=Path, metavar="FILE", help="YAML settings (default: $AFFECTSTREAM_CONFIG)"
    )
    parser.add_argument(
        "--address",
        metavar="HOST:PORT",
        help="where to listen (default: 127.0.0.1:50551; port 0: a free one)",
    )
    parser.add_argument(
        "--processes",
        metavar="N",
        help="processes that serve the port, 'auto' for one a core; docs/processes.md (default: 1)",
    )
    parser.add_argument(
        "--triton",
        metavar="HOST:PORT",
        help="let models behind this Triton score (its gRPC port, usually 8001)",
    )
    parser.add_argument(
        "--model",
        metavar="NAME",
        help="the model behind Triton, NAME or NAME:VERSION (default: affect_embedded)",
    )
    for option, what in (
        ("--tls-cert", "the server's certificate, PEM; read again when it changes"),
        ("--tls-key", "its private key, PEM"),
        ("--client-ca", "callers must show a certificate that this CA signed, PEM"),
        ("--tokens", "callers must show a token that is in this file; `affectstream token` makes one"),
    ):
        parser.add_argument(option, metavar="FILE", help=what)
    parser.add_argument(
        "--insecure",
        action="store_true",
        help="let other machines in without TLS, or without authentication",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="check settings and their files, print them as YAML, and stop",
    )


def run(args: argparse.Namespace) -> int:
    """Serve until told to stop. Returns the exit code: 0 drained, 1 cannot serve, 2 bad settings."""
    path = args.config or (
        Path(os.environ["AFFECTSTREAM_CONFIG"]) if os.environ.get("AFFECTSTREAM_CONFIG") else None
    )
    overrides: dict[str, dict[str, Any]] = {}
    for section, key, value in (
        ("server", "address", args.address),
        ("triton", "address", args.triton),
        ("triton", "model", args.model),
        ("tls", "cert_file", args.tls_cert),
        ("tls", "key_file", args.tls_key),
        ("tls", "client_ca_file", args.client_ca),
        ("auth", "tokens_file", args.tokens),
        ("server", "insecure", args.insecure),
        ("server", "processes", args.processes),
    ):
        if value:
            overrides.setdefault(section, {})[key] = value
    try:
        settings = load(path, overrides=overrides)
        if args.check:
            _check_files(settings)
    except SettingsError as error:
        return _fail(str(error), 2)
    if args.model and not settings.triton.address:
        return _fail("--model names a model behind Triton: say where with --triton HOST:PORT", 2)
    if args.check:
        sys.stdout.write(_as_yaml(settings))
        return 0
    configure(settings.logging)
    _forbid_core_dumps()
    count = settings.server.processes or cores()
    return _serve(settings) if count == 1 else _supervise(settings, count)


def _supervise(settings: Settings, count: int) -> int:
    from affectstream_server.processes.supervisor import Supervisor
    from affectstream_server.telemetry.installed import check_installed

    if sys.platform != "linux":
        return _fail("server.processes: more than one needs Linux, which spreads connections over them", 2)

    async def supervise() -> int:
        return await Supervisor(settings, count).serve(_say_ready)

    try:
        check_installed(settings.telemetry)
        return asyncio.run(supervise())
    except SettingsError as error:
        return _fail(str(error), 2)
    except CannotListen as error:
        return _fail(str(error), 1)


def _serve(settings: Settings) -> int:
    from affectstream_server.heartbeat import end_soon
    from affectstream_server.lifecycle import Server
    from affectstream_server.scoring.embedded import ModelRejected

    async def serve() -> None:
        server = Server(settings)
        try:
            await server.serve_until_signalled(_say_ready)
        finally:
            end_soon()

    try:
        asyncio.run(serve())
    except SettingsError as error:
        return _fail(str(error), 2)
    except (CannotListen, ModelRejected) as error:
        return _fail(str(error), 1)
    return 0


def _forbid_core_dumps() -> None:
    """A dump of this process would put the audio of every open stream on a disk."""
    import resource

    _, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (0, most))


def _check_files(settings: Settings) -> None:
    """Read certificates, tokens and the tone policy as the server would. Raises `SettingsError`."""
    from affectstream_server import certificates
    from affectstream_server.auth.authenticator import Authenticator
    from affectstream_server.guidance import open_policy
    from affectstream_server.scoring.user_outputs import read_user_outputs
    from affectstream_server.stages.fuse import open_fusion
    from affectstream_server.telemetry.installed import check_installed

    if settings.tls.cert_file:
        certificates.read(settings.tls)
    Authenticator(settings.auth)
    open_policy(settings.guidance)
    check_installed(settings.telemetry)
    read_user_outputs(settings.scoring.user_outputs)
    open_fusion(settings.fusion)


def _say_ready(address: str) -> None:
    # What was loaded stays: looking at it again and again, the collector would let dead sessions lie.
    gc.collect()
    gc.freeze()
    sys.stdout.write(f"affectstream: ready on {address}\n")
    sys.stdout.flush()


def _as_yaml(settings: Settings) -> str:
    import yaml

    return yaml.safe_dump(settings.model_dump(mode="json"), sort_keys=False)


def _fail(message: str, code: int) -> int:
    for line in message.splitlines():
        sys.stderr.write(f"affectstream serve: {line}\n")
    return code


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m affectstream_server")
    add_arguments(parser)
    return run(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
