"""Words that a sentence about somebody's voice may not have: diagnoses, accusations and certainty."""

from __future__ import annotations

import re
from typing import Final

FORBIDDEN: Final = {
    "a diagnosis": r"""
        depress\w* | anxiety | anxious | bipolar\w* | autis\w* | adhd | adhs | ptsd | ptbs | traumati\w* |
        disorder\w* | diagnos\w* | patholog\w* | psychot\w* | neurotic | mental\w* | suicid\w* | suizid\w* |
        dement\w* | syndrom\w* | symptom\w* | illness | \w*störung\w* | krank\w* | erkrank\w* |
        psychisch\w* | traumatisier\w* | angstzust\w*
    """,
    "an accusation": r"""
        liar | lying | lies | lied | dishonest\w* | deceptive | deceiv\w* | manipulat\w* | drunk\w* |
        intoxicat\w* | aggressive | hysteric\w* | lügt | lügen\w* | lügner\w* | unehrlich\w* | betrunken\w* |
        aggressiv\w* | hysterisch\w*
    """,
    "a certainty": r"""
        certainly | definitely | clearly | obviously | undoubtedly | evidently | surely | proves? | proven |
        guaranteed | always | (?:speaker|caller|user|customer|person) \s+ (?:is|feels|was|has \s+ been) |
        (?:they|he|she) \s+ (?:is|are|feels?) | sicher(?:lich)? | eindeutig\w* | offensichtlich\w* |
        zweifellos | definitiv\w* | garantiert | immer |
        (?:ist|fühlt \s+ sich) \s+ (?:wütend|traurig|ängstlich|fröhlich)
    """,
}
"""Kind → pattern of whole words, in every language at once."""

_PATTERNS: Final = {
    kind: re.compile(rf"\b(?:{pattern})\b", re.IGNORECASE | re.VERBOSE) for kind, pattern in FORBIDDEN.items()
}


def forbidden_claims(text: str) -> list[tuple[str, str]]:
    """Each word that may not stand there, and what it is."""
    return [(match.group(0), kind) for kind, pattern in _PATTERNS.items() for match in pattern.finditer(text)]
