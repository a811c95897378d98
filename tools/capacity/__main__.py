"""Take a result of the bench into the package and its page: `python -m tools.capacity [LATEST.json]`.

It writes the figures that `affectstream capacity` ships, the tables of docs/capacity.md and its picture.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from affectstream.capacity.figures import FiguresError, read
from affectstream.capacity.fit import fit
from affectstream.capacity.shipped import shipped, to_json
from tools.capacity import page, picture
from tools.capacity.paths import BUS, LATEST, PICTURE, SHIPPED


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.capacity", description=__doc__)
    parser.add_argument("result", type=Path, nargs="?", default=LATEST, metavar="LATEST.json")
    parser.add_argument("--bus", type=Path, default=BUS, metavar="BUS.json", help="of python -m bench.bus")
    parser.add_argument(
        "--overload",
        type=Path,
        metavar="FILE",
        help="of python -m bench.overload --admit-all, in place of its own",
    )
    parser.add_argument("--again", action="store_true", help="with the figures that are shipped already")
    args = parser.parse_args(arguments)
    try:
        if args.again:
            found, _ = shipped()
        else:
            found = read(args.result, args.bus if args.bus.exists() else None, args.overload)
        SHIPPED.write_text(to_json(found, fit(found)), encoding="utf-8")
    except FiguresError as error:
        sys.stderr.write(f"tools.capacity: {error}\n")
        return 2
    page.write()
    picture.draw(PICTURE)
    return 0


if __name__ == "__main__":
    sys.exit(main())
