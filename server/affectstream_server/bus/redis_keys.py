"""What is where in Redis. Neither tenants nor session ids hold a colon."""

from __future__ import annotations

from dataclasses import dataclass

from affectstream_server.bus.entry import Subject


@dataclass(frozen=True, slots=True)
class Keys:
    """Names of keys, and of the channels that tell of a log's news and are named like the log."""

    prefix: str

    def log(self, subject: Subject) -> str:
        """Stream of a session's events, or of a tenant's."""
        if subject.is_tenant:
            return f"{self.prefix}:tenant:{subject.tenant}"
        return f"{self.prefix}:log:{subject.tenant}:{subject.session_id}:{subject.incarnation.hex()}"

    def ids(self, tenant: str, session_id: str) -> str:
        """Sorted set of the sessions that had an id."""
        return f"{self.prefix}:ids:{tenant}:{session_id}"

    def trimmed(self, tenant: str) -> str:
        """The newest place of a tenant's log from which an event was pushed out."""
        return f"{self.prefix}:trimmed:{tenant}"

    def began(self, tenant: str) -> str:
        """The clock in ms when a tenant's log began: what was before is not known."""
        return f"{self.prefix}:began:{tenant}"

    @property
    def owners(self) -> str:
        """Set of the processes that have sessions."""
        return f"{self.prefix}:owners"

    def alive(self, owner: str) -> str:
        """There as long as a process is."""
        return f"{self.prefix}:alive:{owner}"

    def open(self, owner: str) -> str:
        """Set of a process's sessions that have not ended."""
        return f"{self.prefix}:open:{owner}"

    @property
    def purges(self) -> str:
        """Channel that tells every process of a purge."""
        return f"{self.prefix}:purges"


def member(subject: Subject) -> str:
    """A session among those of its owner."""
    return f"{subject.tenant}:{subject.session_id}:{subject.incarnation.hex()}"


def subject_of(found: bytes) -> Subject:
    """The session that `member` named."""
    tenant, session_id, incarnation = found.decode().split(":")
    return Subject(tenant, session_id, bytes.fromhex(incarnation))
