"""The client stays light, and its names are where they are said to be."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import affectstream
from affectstream import cli


def modules_after(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has loaded after a statement."""
    script = f"{statement}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    return {name.partition(".")[0] for name in json.loads(done.stdout)} | set(json.loads(done.stdout))


HEAVY = {
    "torch",
    "onnxruntime",
    "soundfile",
    "rich",
    "matplotlib",
    "scipy",
    "sounddevice",
    "affectstream_server",
}


def test_the_client_loads_nothing_heavy() -> None:
    loaded = modules_after("import affectstream; affectstream.AffectClient; affectstream.AffectEvent")
    assert not loaded & (HEAVY | {"numpy"})


def test_the_contract_alone_loads_no_grpc_and_no_protobuf() -> None:
    loaded = modules_after("import affectstream.contract")
    assert not loaded & (HEAVY | {"numpy", "grpc", "google", "affectstream.client"})


def test_help_loads_no_command() -> None:
    loaded = modules_after("import affectstream.cli")
    assert not loaded & (HEAVY | {"numpy", "grpc", "google"})


@pytest.mark.parametrize("command", sorted(cli.COMMANDS))
def test_a_command_imports_extras_only_when_it_runs(command: str) -> None:
    assert not modules_after(f"import affectstream.commands.{command}") & HEAVY


@pytest.mark.parametrize("name", affectstream.__all__)
def test_every_public_name_resolves_to_itself(name: str) -> None:
    assert getattr(affectstream, name).__name__ == name
    assert name in dir(affectstream)


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        affectstream.Nonsense  # noqa: B018
