"""Changes to what is written in JSON or YAML that leave it written so."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import yaml

from tests.fuzz.target import Flip

_VALUES: Final[tuple[Any, ...]] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    1.5,
    10**6,
    2**63,
    -(2**31),
    1e300,
    "",
    "0",
    "1",
    [],
    {},
    [{}],
)
_DEEPEST: Final = 12


def json_mutated(data: bytes, chance: random.Random, flip: Flip, names: Sequence[str]) -> bytes:
    """One object in JSON with one thing in it changed; what is none is changed anywhere."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, 4_096)
    if chance.random() < 0.2:
        return flip(data, 4_096)
    return json.dumps(changed(value, chance, names)).encode()


def yaml_mutated(names: Sequence[str]) -> Callable[[bytes, int, int, Flip], bytes]:
    """A target's `mutate` for a document in YAML."""

    def mutate(data: bytes, max_size: int, seed: int, flip: Flip) -> bytes:
        chance = random.Random(seed)  # noqa: S311 - the fuzzer's own seed
        if chance.random() < 0.4:
            return flip(data, max_size)
        try:
            value = yaml.safe_load(data.decode())
            written = yaml.safe_dump(changed(value, chance, names), sort_keys=False).encode()
        except Exception:  # noqa: BLE001 - YAML's reader lets out whatever it met
            return flip(data, max_size)
        return written[:max_size]

    return mutate


def changed(value: Any, chance: random.Random, names: Sequence[str], depth: int = 0) -> Any:
    """A copy in which one thing is another, is gone, is there twice or has another name."""
    inside = isinstance(value, dict | list) and value and depth < _DEEPEST
    if not inside or chance.random() < 0.15:
        return _other(value, chance, names)
    if isinstance(value, list):
        items = list(value)
        place = chance.randrange(len(items))
        match chance.randrange(8):
            case 0:
                items.insert(place, items[chance.randrange(len(items))])
            case 1:
                items.pop(place)
            case _:
                items[place] = changed(items[place], chance, names, depth + 1)
        return items
    found = dict(value)
    key = chance.choice(list(found))
    match chance.randrange(10):
        case 0:
            found[chance.choice(names)] = found.pop(key)
        case 1:
            found[chance.choice(names)] = found[key]
        case 2:
            del found[key]
        case _:
            found[key] = changed(found[key], chance, names, depth + 1)
    return found


def _other(value: Any, chance: random.Random, names: Sequence[str]) -> Any:
    match chance.randrange(6):
        case 0:
            return chance.choice(names)
        case 1:
            return {chance.choice(names): value}
        case 2:
            return [value, value]
        case 3 if isinstance(value, int | float):
            return chance.choice((value + 1, value - 1, -value, value * 1_000, str(value)))
        case 3 if isinstance(value, str):
            return chance.choice((value + value, value[:-1], value.upper(), value + "é\ud800", value * 100))
        case _:
            return chance.choice(_VALUES)
