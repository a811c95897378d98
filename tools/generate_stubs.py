"""Generate the Python stubs and their .pyi from the proto, into OUT (default: clients/python).

The proto's path is the import path, so nothing in the output is rewritten.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PROTO = "affectstream/v1/affect.proto"


def generate(out: Path) -> None:
    """Run protoc with the pinned grpcio-tools and mypy-protobuf. Raises CalledProcessError."""
    scripts = Path(sys.executable).parent
    command = [
        sys.executable,
        "-m",
        "grpc_tools.protoc",
        f"--plugin=protoc-gen-mypy={scripts / 'protoc-gen-mypy'}",
        f"--plugin=protoc-gen-mypy_grpc={scripts / 'protoc-gen-mypy_grpc'}",
        f"-I{ROOT / 'protos'}",
        f"--python_out={out}",
        f"--grpc_python_out={out}",
        f"--mypy_out=quiet:{out}",
        f"--mypy_grpc_out=quiet:{out}",
        PROTO,
    ]
    subprocess.run(command, check=True, timeout=60)  # noqa: S603 - a fixed command


if __name__ == "__main__":
    generate(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "clients" / "python")
