"""Tone policies: what is said to whoever writes the reply, and when.

`check` validates a policy and, with --session, plays a recorded session against it: when the guidance would
have changed, and why. A recording is what `affectstream stream --format jsonl` writes. `show` prints a
policy, to copy and change.

POLICY is a YAML file, or one that comes along: "default", or "sensitive", which speaks sooner and errs more
often.

Exit status: 0 the policy can be used; 1 it cannot; 2 wrong usage, or a file that cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from google.protobuf.json_format import Parse, ParseError

from affectstream.commands import InputError
from affectstream.commands.clock import clock
from affectstream.decode import decode
from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, TurnAffect
from affectstream.tone import BUILT_IN, DEFAULT, Policy, PolicyError, ToneGuide, built_in_text, load
from affectstream.v1 import affect_pb2 as pb

LONGEST_LINE: Final = 1 << 20
"""Characters of a recorded event."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream tone`."""
    parser.add_argument("action", choices=("check", "show"), help="validate a policy, or print one")
    parser.add_argument(
        "policy",
        metavar="POLICY",
        nargs="?",
        default=DEFAULT,
        help="a YAML file, or a name (default: default)",
    )
    parser.add_argument(
        "--session", type=Path, metavar="FILE", help="JSON lines of a recorded session, to play against it"
    )
    parser.add_argument("--language", default="", metavar="TAG", help="BCP 47 tag of the texts")


def run(args: argparse.Namespace) -> int:
    """Check it, or show it."""
    if args.action == "show" and args.session is not None:
        raise InputError("--session goes with check")
    try:
        policy = load(args.policy)
    except PolicyError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise InputError(f"cannot read {args.policy}: {why}") from None
    if args.action == "show":
        known = args.policy in BUILT_IN
        print(built_in_text(args.policy) if known else Path(args.policy).read_text(encoding="utf-8"), end="")
        return 0
    count = "1 rule" if len(policy.rules) == 1 else f"{len(policy.rules)} rules"
    print(f"{policy.name}: {count} in {', '.join(policy.languages)}; it can be used")
    if args.session is not None:
        play(policy, args.session, args.language)
    return 0


def play(policy: Policy, session: Path, language: str) -> None:
    """Print each change of the guidance, and why. Raises `InputError`."""
    guide = ToneGuide(policy, language)
    chosen = policy.language(language)
    finals = acted_on = changes = 0
    spoke = False
    for event in recorded(session):
        finals += isinstance(event, AffectEvent)
        acted_on += isinstance(event, AffectEvent) and event.status == AffectStatus.OK
        decision = guide.decide(event)
        if not decision.changed:
            continue
        changes += spoke
        spoke = True
        what = event.utterance_id if isinstance(event, AffectEvent) else f"turn {event.turn_id}"
        print(f"{clock(event.audio_end.seconds):>9}  {what}: {decision.why}")
        if decision.rule is None:
            print(f"{'':11}nothing to say")
        else:
            print(f"{'':11}{decision.rule.text[chosen]} [{', '.join(decision.rule.style_tags)}]")
    what = "1 change" if changes == 1 else f"{changes} changes"
    print(f"{what} after the first, over {finals} utterances of which {acted_on} may be acted on")


def recorded(path: Path) -> Iterator[AffectEvent | TurnAffect]:
    """The last word on each utterance and turn. Raises `InputError`."""
    try:
        with path.open(encoding="utf-8", errors="replace") as file:
            number = 0
            while line := file.readline(LONGEST_LINE):
                number += 1
                if not line.strip():
                    continue
                try:
                    event = decode(Parse(line, pb.SessionEvent(), ignore_unknown_fields=True))
                except ParseError:
                    raise InputError(
                        f"{path}, line {number}: no event; record with: affectstream stream --format jsonl"
                    ) from None
                if isinstance(event, TurnAffect) or (isinstance(event, AffectEvent) and event.is_final):
                    yield event
    except OSError as error:
        raise InputError(f"cannot read {path}: {(error.strerror or 'unknown error').lower()}") from None
