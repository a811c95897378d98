"""`make sbom`: what a release's image holds, as CycloneDX 1.6, made of the lock that it is installed by.

Of each package its version, its purl and the hashes of its files. The base image's own packages are not in
it: they are told by a scan of the built image.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Final

from tools.locks import LOCKS, locked
from tools.security.scan import BIN, ROOT

LOCK: Final = next(lock for lock in LOCKS if lock.name == "image")


def main() -> int:
    folder = ROOT / (sys.argv[1] if len(sys.argv) > 1 else "dist")
    file = make(folder)
    components = json.loads(file.read_text(encoding="utf-8"))["components"]
    missing = {f"{name} {version}" for name, (version, _) in locked(LOCK).items()} - {
        f"{each['name']} {each['version']}" for each in components
    }
    for name in sorted(missing):
        print(f"sbom: {name} is locked and not told of")
    print(f"sbom: {len(components)} components in {file.relative_to(ROOT)}")
    return 1 if missing else 0


def make(folder: Path) -> Path:
    """Write it, checked against CycloneDX's schema; the same bytes for the same lock."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / f"{project['name']}-{project['version']}.cdx.json"
    subprocess.run(
        [
            *(str(BIN / "cyclonedx-py"), "requirements", str(LOCK.file), "--pyproject", "pyproject.toml"),
            *("--spec-version", "1.6", "--output-format", "JSON", "--output-reproducible", "--validate"),
            *("--mc-type", "application", "--output-file", str(file)),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    return file


if __name__ == "__main__":
    sys.exit(main())
