"""Where things are."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from affectstream.capacity import shipped

ROOT: Final = Path(__file__).resolve().parents[2]
PAGE: Final = ROOT / "docs/capacity.md"
PICTURE: Final = ROOT / "docs/images/capacity.svg"
SHIPPED: Final = ROOT / "clients/python/affectstream/capacity" / shipped.NAME
BUS: Final = ROOT / "bench/results/bus.json"
LATEST: Final = ROOT / "bench/results/latest.json"
