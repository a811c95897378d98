"""Guidance over a session: of the policy that was asked for, else the server's own, else of the default."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Final

from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, Event, SessionStarted, TurnAffect
from affectstream.tone.policy import Policy
from affectstream.tone.reading import of_event
from affectstream.tone.track import Decision, Tracks, alone, words
from affectstream.values import Guidance

DEFAULT: Final = "default"
BUILT_IN: Final = (DEFAULT, "sensitive")
"""Names of the policies that come along: a careful one, and one that speaks sooner and errs more often."""


def load(path: str | Path) -> Policy:
    """Read a policy.

    Args:
        path: A YAML file, or one of `BUILT_IN`.

    Raises:
        PolicyError: It cannot be used; every problem is named with its line.
        OSError: It cannot be read.
    """
    if path in BUILT_IN:
        return _built_in(str(path))
    from affectstream.tone.read import read  # YAML is loaded where it is needed

    return read(Path(path).read_text(encoding="utf-8", errors="replace"), str(path))


def built_in_text(name: str = DEFAULT) -> str:
    """The YAML of one of `BUILT_IN`."""
    return (files("affectstream") / "tone" / f"{name}.yaml").read_text(encoding="utf-8")


def default_policy() -> Policy:
    """The policy that speaks where no other is named."""
    return _built_in(DEFAULT)


@cache
def _built_in(name: str) -> Policy:
    from affectstream.tone.read import read

    return read(built_in_text(name), name)


class ToneGuide:
    """The tone of one session.

    Args:
        policy: What to say, whatever the server says. None: the server's own guidance where it gives any,
            else the policy that comes with the client.
        language: BCP 47 tag of the texts; the policy's first language stands in for one that it has not.
    """

    def __init__(self, policy: Policy | None = None, language: str = "") -> None:
        self._policy = policy
        self._is_chosen = policy is not None
        self._language = language
        self._tracks: Tracks | None = None
        self._served = False

    def hear(self, event: Event) -> Guidance | None:
        """Take in the next event of the session.

        Args:
            event: Any; those that do not matter are passed over. In the session's order.

        Returns:
            Advice on the reply to this utterance or turn. None: it is provisional or of another kind, its
            status is not OK, or there is nothing to say.
        """
        if isinstance(event, SessionStarted):
            self._served = bool(event.guidance_policy)
        if not isinstance(event, AffectEvent | TurnAffect):
            return None
        if isinstance(event, AffectEvent) and not event.is_final:
            return None
        if event.status == AffectStatus.CONSENT_WITHHELD and self._tracks is not None:
            self._tracks.clear()
        if event.guidance is not None:
            self._served = True
        if self._served and not self._is_chosen:
            return event.guidance if event.status == AffectStatus.OK else None
        decision = self.decide(event)
        return words(self.policy, decision.rule, self._language) if decision.rule is not None else None

    def decide(self, event: AffectEvent | TurnAffect) -> Decision:
        """What the policy says of a final event, whatever the server does, and why."""
        if self._tracks is None:
            self._tracks = Tracks(self.policy)
        return self._tracks.hear(of_event(event), event.channel or 0)

    @property
    def policy(self) -> Policy:
        """In force here."""
        if self._policy is None:
            self._policy = default_policy()
        return self._policy


def guidance(affect: AffectEvent | TurnAffect, language: str = "") -> Guidance | None:
    """Advice for the wording of the reply to one utterance or turn of which nothing before is known.

    In a conversation `ToneGuide` is steadier: it remembers.

    Args:
        affect: Final or provisional.
        language: BCP 47 tag of the text.

    Returns:
        The server's own guidance where the event carries it; else one sentence and style tags of the policy
        that comes with the client. None: the status is not OK (abstained, too little speech, ...), or no rule
        holds.
    """
    if affect.status != AffectStatus.OK:
        return None
    if affect.guidance is not None:
        return affect.guidance
    policy = default_policy()
    rule = alone(policy, of_event(affect))
    return words(policy, rule, language) if rule is not None else None
