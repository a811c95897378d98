"""One process's view of the others that serve its port: what they hold, where they listen, what they use."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from affectstream_server.bus.bus import Bus
from affectstream_server.errors import AlreadyExists
from affectstream_server.pipeline import Pipeline
from affectstream_server.processes.ledger import Name
from affectstream_server.processes.link import Answer, Link, LinkLost, Message
from affectstream_server.quotas import Tenant, reached
from affectstream_server.sessions import taken

_log = logging.getLogger(__name__)

_TELL_S: Final = 0.02
"""Audio that tenants used is told the others so much later, at once."""
_SERIAL_BYTES: Final = 4


@dataclass(slots=True)
class _Used:
    """Of a tenant's quotas, since the others were told."""

    audio_s: float = 0.0
    utterances: int = 0


@dataclass(slots=True, eq=False)
class Claim:
    """A session id that a stream asks for and that no other process may give away meanwhile."""

    name: Name
    open: bool = True

    def end(self) -> None:
        """The session began, or will not."""
        self.open = False


@dataclass(slots=True)
class Siblings:
    """What the supervisor tells a process, and what the process asks of it. Lives on one event loop."""

    link: Link
    serial: int
    """This process among all that were ever started by the supervisor."""
    secret: str
    """What these processes show each other."""
    bus: Bus | None = None
    """What all of them publish to; None: what the settings ask for."""
    everyone: bool = False
    """All were ready once."""
    addresses: dict[int, str] = field(default_factory=dict)
    """Where each process that lives takes calls from the others, by its serial."""
    changed: Callable[[], None] | None = None
    """Called when `everyone` or `addresses` changed."""
    inner_address: str = field(default_factory=lambda: f"unix-abstract:affectstream-{secrets.token_hex(16)}")
    """Where this one does: a name without a file, so that none is left when the process is killed."""
    _pipeline: Pipeline | None = None
    _claims: dict[Name, list[Claim]] = field(default_factory=dict)
    _used: dict[str, _Used] = field(default_factory=dict)
    _numbers: Iterator[int] = field(default_factory=itertools.count)

    @property
    def mark(self) -> bytes:
        """What ends the resume tokens of this process's sessions."""
        return self.serial.to_bytes(_SERIAL_BYTES)

    def home(self, resume_token: bytes) -> int:
        """The serial of the process whose session it is."""
        return int.from_bytes(resume_token[-_SERIAL_BYTES:])

    def join(self, pipeline: Pipeline) -> None:
        """Serve with this pipeline."""
        self._pipeline = pipeline
        pipeline.sessions.token_mark = self.mark
        pipeline.sessions.closed = self._closed
        pipeline.quotas.opened = self._watch_quota

    def handle(self, message: Message) -> Answer:
        """Take what the supervisor says."""
        match message.kind:
            case "roster":
                self.everyone = message.fields["everyone"]
                self.addresses = {int(serial): at for serial, at in message.fields["addresses"].items()}
                if self.changed is not None:
                    self.changed()
            case "used":
                self._others_used(message.fields["of"])
            case "held":
                return self._held(tuple(message.fields["name"]))
        return None

    # -- bounds over all processes -------------------------------------------------------------------

    @asynccontextmanager
    async def holding(self, what: str, tenant: str, subject: str | None = None) -> AsyncIterator[None]:
        """Count one of ``what`` (streams, analyses, watchers) as long as it lasts.

        What the others hold is known afterwards, and who counts here takes it into account. Raises
        `LimitReached` where the tenant holds its quota already, in whichever processes: such a call does not
        count, or it would take the others' places while it is refused.
        """
        of_whom = f"{what}:{tenant}" if subject is None else f"{what}:{tenant}:{subject}"
        limit = self._quota(what, tenant)
        number = next(self._numbers)
        try:
            try:
                answer, _ = await self.link.ask("take", number=number, keys=[what, of_whom], limit=limit)
            except LinkLost:
                _log.warning("the supervisor does not answer: bounds are this process's own")
                answer = {"others": (0, 0)}
            if answer["others"] is None:
                raise reached(what, limit, limit)
            self._know(what, tenant, *answer["others"])
            yield
        finally:
            self.link.tell("give_back", number=number)

    def _quota(self, what: str, tenant: str) -> int:
        """How many a tenant may hold; 0: no bound of its own."""
        assert self._pipeline is not None  # noqa: S101 - calls come after `join`
        quota = self._pipeline.quotas.tenant(tenant).quota
        return {"streams": quota.streams, "analyses": quota.analyses}.get(what, 0)

    def _know(self, what: str, tenant: str, everybody: int, of_whom: int) -> None:
        pipeline = self._pipeline
        assert pipeline is not None  # noqa: S101 - calls come after `join`
        match what:
            case "streams":
                pipeline.sessions.elsewhere = everybody
                pipeline.quotas.tenant(tenant).elsewhere[what] = of_whom
            case "analyses":
                pipeline.analyzer.elsewhere = everybody
                pipeline.quotas.tenant(tenant).elsewhere[what] = of_whom
            case "watchers":
                pipeline.watching.elsewhere = (everybody, of_whom)

    # -- session ids ---------------------------------------------------------------------------------

    async def claim(self, name: Name) -> Claim:
        """Take an id for a session that begins, until the claim's end. Raises `AlreadyExists`."""
        claim = Claim(name)
        self._claims.setdefault(name, []).append(claim)
        try:
            answer, _ = await self.link.ask("claim", name=name)
        except LinkLost:
            _log.warning("the supervisor does not answer: session ids are this process's own")
            return claim
        except BaseException:
            self.release(claim)
            raise
        if answer["held"]:
            self.release(claim)
            raise taken(name[1], answer["retry_after_s"])
        return claim

    def release(self, claim: Claim) -> None:
        """The stream that claimed it is over. Its session may go on."""
        claim.end()
        of_name = self._claims[claim.name]
        of_name.remove(claim)
        if not of_name:
            del self._claims[claim.name]
        self._tell_gone(claim.name)

    def _held(self, name: Name) -> Answer:
        assert self._pipeline is not None  # noqa: S101 - no id was claimed before `join`
        if any(claim.open for claim in self._claims.get(name, ())):
            return {"held": True, "retry_after_s": None}
        try:
            self._pipeline.sessions.check_free(*name)
        except AlreadyExists as error:
            return {"held": True, "retry_after_s": error.retry_after_s}
        return {"held": False}

    def _closed(self, tenant: str, session_id: str) -> None:
        # One that takes its id again is there at the end of this turn of the loop.
        asyncio.get_running_loop().call_soon(self._tell_gone, (tenant, session_id))

    def _tell_gone(self, name: Name) -> None:
        if self._pipeline is not None and name not in self._claims and not self._pipeline.sessions.has(*name):
            self.link.tell("gone", name=name)

    # -- quotas by rate ------------------------------------------------------------------------------

    def _watch_quota(self, tenant: Tenant) -> None:
        used = self._used

        def audio(seconds: float) -> None:
            self._plan_to_tell()
            used.setdefault(tenant.name, _Used()).audio_s += seconds

        def utterance() -> None:
            self._plan_to_tell()
            used.setdefault(tenant.name, _Used()).utterances += 1

        if tenant.audio is not None:
            tenant.audio.taken = audio
        if tenant.utterances is not None:
            tenant.utterances.taken = utterance

    def _plan_to_tell(self) -> None:
        if not self._used:
            asyncio.get_running_loop().call_later(_TELL_S, self._tell_used)

    def _tell_used(self) -> None:
        of = {name: (used.audio_s, used.utterances) for name, used in self._used.items()}
        self._used.clear()
        self.link.tell("used", of=of)

    def _others_used(self, of: dict[str, tuple[float, int]]) -> None:
        if self._pipeline is None:
            return
        for name, (audio_s, utterances) in of.items():
            tenant = self._pipeline.quotas.tenant(name)
            if tenant.audio is not None and audio_s:
                tenant.audio.take(audio_s, own=False)
            if tenant.utterances is not None:
                for _ in range(min(utterances, tenant.utterances.limit)):
                    tenant.utterances.take(own=False)
