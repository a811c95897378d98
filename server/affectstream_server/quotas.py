"""Tenants and what each may take: streams, analyses, audio, utterances.

At a bound on how many at once, the next is refused. Audio above its rate is not read until its time has
come. An utterance above the quota is not scored, and its final says so. Nothing in hand is lost.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.bucket import Bucket, Clock, Window
from affectstream_server.errors import LimitReached
from affectstream_server.settings import Settings

_RETRY_S: Final = 1.0
_BURST_S: Final = 2.0
"""Audio of this time may come at once after a quiet time."""
RESERVE: Final = 0.5
"""Of the burst: what is ahead of real time leaves it to what is not."""
_MOST_TENANTS: Final = 10_000
"""Kept in mind; from there on those that hold nothing are forgotten."""


@dataclass(frozen=True, slots=True)
class Quota:
    """A tenant's bounds; 0: none of its own."""

    streams: int = 0
    analyses: int = 0
    audio_rate: float = 0.0
    """Seconds a second."""
    utterances_per_minute: int = 0
    weight: float = 1.0


class Tenant:
    """What a tenant holds, and its bounds."""

    def __init__(self, name: str, quota: Quota, clock: Clock = time.monotonic) -> None:
        self.name = name
        self.quota = quota
        self.streams = 0
        self.analyses = 0
        self.elsewhere: Counter[str] = Counter()
        """What other processes of this server hold, as far as it matters to who is counted next."""
        rate, utterances = quota.audio_rate, quota.utterances_per_minute
        self.audio = Bucket(rate, _BURST_S * rate, clock) if rate else None
        self.utterances = Window(utterances, 60.0, clock) if utterances else None

    @property
    def is_idle(self) -> bool:
        """It could be forgotten, and nobody would notice."""
        return not (self.streams or self.analyses) and self._owes_nothing

    @property
    def _owes_nothing(self) -> bool:
        return (self.audio is None or self.audio.is_full) and (
            self.utterances is None or self.utterances.is_empty
        )

    def open_stream(self) -> None:
        """Count a stream. Raises `LimitReached`."""
        _admit("streams", self.streams + self.elsewhere["streams"], self.quota.streams)
        self.streams += 1

    def close_stream(self) -> None:
        """A stream that was counted is over."""
        self.streams -= 1

    @contextmanager
    def analysis(self) -> Iterator[None]:
        """Count an AnalyzeUtterance call, and its utterance. Raises `LimitReached`."""
        _admit("analyses", self.analyses + self.elsewhere["analyses"], self.quota.analyses)
        if self.audio is not None and (wait_s := self.audio.wait_s(RESERVE)):
            limit = f"{self.quota.audio_rate:g} seconds of audio a second"
            raise reached("audio_rate", "all of it is used", limit, wait_s)
        if self.utterances is not None:
            if wait_s := self.utterances.wait_s():
                value = f"{self.utterances.limit} in the last minute"
                raise reached("utterances", value, f"{self.utterances.limit} a minute", wait_s)
            self.utterances.take()
        self.analyses += 1
        try:
            yield
        finally:
            self.analyses -= 1

    def take_audio(self, samples: int) -> None:
        """Count audio: samples at 16 kHz over all analysed channels."""
        if self.audio is not None:
            self.audio.take(samples / SAMPLE_RATE_HZ)


class Quotas:
    """The tenants of this process: those that hold something, and as many others as fit."""

    def __init__(self, settings: Settings, clock: Clock = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._tenants: dict[str, Tenant] = {}
        self.opened: Callable[[Tenant], None] | None = None
        """Told of each tenant that comes to mind."""

    def __len__(self) -> int:
        return len(self._tenants)

    def quota_of(self, name: str) -> Quota:
        """What the settings give a tenant."""
        every, server = self._settings.quotas, self._settings.server
        own = self._settings.tenants.get(name)
        values = every.model_dump(exclude={"share"})
        if own is not None:
            values |= own.model_dump(exclude_none=True)
        if self._settings.auth.on:
            for key, most in (("streams", server.max_streams), ("analyses", server.max_analyses)):
                part = max(1, int(most * every.share))
                values[key] = min(values[key] or part, part)
        return Quota(**values)

    def tenant(self, name: str) -> Tenant:
        """The tenant of this name."""
        tenant = self._tenants.get(name)
        if tenant is None:
            if len(self._tenants) >= _MOST_TENANTS:
                self._tenants = {key: one for key, one in self._tenants.items() if not one.is_idle}
            tenant = self._tenants[name] = Tenant(name, self.quota_of(name), self._clock)
            if self.opened is not None:
                self.opened(tenant)
        return tenant


def _admit(what: str, held: int, limit: int) -> None:
    if limit and held >= limit:
        raise reached(what, held, limit)


def reached(what: str, value: object, limit: object, retry_after_s: float = _RETRY_S) -> LimitReached:
    """The error of a call that is above its tenant's quota."""
    return LimitReached(
        f"{what}: got {value}, and the tenant's quota is {limit}",
        reason=f"TENANT_{what.upper()}",
        field=what,
        value=value,
        limit=limit,
        retry_after_s=retry_after_s,
    )
