"""Guidance: the tone policy's advice on the finals and turns of one session."""

from __future__ import annotations

from typing import Final

from affectstream.tone import Policy, PolicyError, load
from affectstream.tone.policy import Rule
from affectstream.tone.reading import of_message
from affectstream.tone.track import Tracks, alone
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.section import SettingsError
from affectstream_server.settings_guidance import GuidanceSettings

OFF: Final = "off"


def open_policy(settings: GuidanceSettings) -> Policy | None:
    """The policy in force; None: guidance is off. Raises `SettingsError` for one that cannot be used."""
    if settings.policy == OFF:
        return None
    try:
        return load(settings.policy)
    except OSError as error:
        why = (error.strerror or "unknown error").lower()
        raise SettingsError(f"guidance.policy: got {settings.policy!r}: cannot be read: {why}") from None
    except PolicyError as error:
        raise SettingsError(
            "\n".join(f"guidance.policy: {line}" for line in str(error).splitlines())
        ) from None


class Advisor:
    """What was said of a session's speakers so far, and what to say next."""

    def __init__(self, policy: Policy, language: str) -> None:
        """``language`` is the BCP 47 tag of the session; the policy's first stands in for one it has not."""
        self.policy = policy
        self._language = policy.language(language)
        self._tracks = Tracks(policy)

    def advise(self, event: pb.AffectEvent | pb.TurnAffect, channel: int = 0) -> None:
        """Put the advice into a final or a turn, where there is any."""
        decision = self._tracks.hear(of_message(event), channel)
        if decision.rule is not None:
            _write(event, decision.rule, self._language)

    def clear(self) -> None:
        """Consent was withdrawn: forget everything."""
        self._tracks.clear()


def advise_alone(policy: Policy, event: pb.AffectEvent, language: str) -> None:
    """Put the advice into an event of which nothing before is known."""
    rule = alone(policy, of_message(event))
    if rule is not None:
        _write(event, rule, policy.language(language))


def _write(event: pb.AffectEvent | pb.TurnAffect, rule: Rule, language: str) -> None:
    event.guidance.text = rule.text[language]
    event.guidance.style_tags.extend(rule.style_tags)
    event.guidance.rule = rule.name
    event.guidance.language_code = language
