"""The option that says on what basis voices are analysed."""

from __future__ import annotations

import argparse

from affectstream.enums import ConsentBasis

_BASES = {basis.name.lower().replace("_", "-"): basis for basis in ConsentBasis}


def add_argument(parser: argparse.ArgumentParser) -> None:
    """``--consent-basis``."""
    parser.add_argument(
        "--consent-basis",
        choices=_BASES,
        help="on what basis the speakers are analysed; some servers require one",
    )


def basis(args: argparse.Namespace) -> ConsentBasis | int:
    """What was given; 0: nothing."""
    return _BASES[args.consent_basis] if args.consent_basis else 0
