"""How a voice sounds → one sentence for whoever writes the reply.

The sentence is an estimate and says so, names no diagnosis and no certainty, and advises on the wording of
the reply only. Where the model did not answer, or no rule holds, there is none. What is said when stands in
a policy, the same for server and client: docs/tone.md.
"""

from __future__ import annotations

from affectstream.tone.guide import (
    BUILT_IN,
    DEFAULT,
    ToneGuide,
    built_in_text,
    default_policy,
    guidance,
    load,
)
from affectstream.tone.note import is_note, note
from affectstream.tone.policy import STYLE_TAGS, Policy
from affectstream.tone.problems import PolicyError, Problem

__all__ = [
    "BUILT_IN",
    "DEFAULT",
    "STYLE_TAGS",
    "Policy",
    "PolicyError",
    "Problem",
    "ToneGuide",
    "built_in_text",
    "default_policy",
    "guidance",
    "is_note",
    "load",
    "note",
]
