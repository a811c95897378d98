"""The figures and the costs that came with this version, in shipped.json: `make capacity` writes it."""

from __future__ import annotations

import json
from dataclasses import asdict
from importlib.resources import files
from typing import Final

from affectstream.capacity.core import Costs
from affectstream.capacity.figures import Figures

NAME: Final = "shipped.json"


def shipped() -> tuple[Figures, Costs]:
    """Both; costs are fitted once, which takes some seconds."""
    values = json.loads(files("affectstream.capacity").joinpath(NAME).read_text("utf-8"))
    return Figures.from_dict(values["figures"]), Costs(**values["costs"])


def to_json(figures: Figures, costs: Costs) -> str:
    """What `shipped` reads."""
    rounded = {name: round(value, 9) for name, value in asdict(costs).items()}
    return json.dumps({"figures": figures.as_dict(), "costs": rounded}, indent=1) + "\n"
