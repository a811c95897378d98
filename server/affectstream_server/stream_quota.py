"""What one stream takes of its tenant's quotas."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from affectstream.contract import SAMPLE_RATE_HZ
from affectstream_server.bucket import Clock
from affectstream_server.quotas import RESERVE, Tenant
from affectstream_server.real_time import RealTime
from affectstream_server.scoring.load import Share
from affectstream_server.stages.decide import OverQuota

_AHEAD_S: Final = 0.5
"""A stream that is further ahead of its clock comes faster than real time."""
_TELL_S: Final = 0.5
"""A stream that was held up for longer in all is told."""


class StreamQuota:
    """What one stream takes of its tenant's quotas."""

    def __init__(
        self, tenant: Tenant, share: Share, real_time: RealTime, clock: Clock = time.monotonic
    ) -> None:
        self.tenant = tenant
        self.share = share
        """Its part in the scorers' work."""
        self._real_time = real_time
        self._clock = clock
        self._began_at: float | None = None
        self._taken = 0
        self._fresh = 0
        self._channels = 1
        self._held_s = 0.0
        self.is_ahead = False
        """More audio came than time has passed: what is at real time goes before it."""
        self._told_of_utterances = False
        self.warn: Callable[..., None] = lambda *_, **__: None
        """Says in the stream that something is over quota; takes what `Voice.warn` does."""

    def take(self, samples: int, channels: int) -> bool:
        """Count audio: ``samples`` so far in all ``channels``, at 16 kHz. True: more may be read at once."""
        self._fresh = samples - self._taken
        self._taken = samples
        self._channels = channels
        self._look()
        return self.tenant.audio is None and not self.is_ahead

    async def room(self) -> bool:
        """Wait until more audio may be read, after `take` said that it may not at once. True: it did wait."""
        audio = self.tenant.audio
        seconds = self._fresh / SAMPLE_RATE_HZ
        waited = False
        if audio is not None:
            audio.take(seconds)
            while wait_s := audio.wait_s(RESERVE if self.is_ahead else 0.0):
                self._hold(wait_s)
                waited = True
                await asyncio.sleep(wait_s)
                self._look()
        if self.is_ahead and (wait_s := self._real_time.take(seconds)):
            waited = True
            await asyncio.sleep(wait_s)
        return waited

    def _look(self) -> None:
        now = self._clock()
        if self._began_at is None:
            self._began_at = now
        self.is_ahead = self._taken / (SAMPLE_RATE_HZ * self._channels) - (now - self._began_at) > _AHEAD_S

    def _hold(self, wait_s: float) -> None:
        """Tell of audio that waits; once, when it is more than a caller may leave unnoticed."""
        before, self._held_s = self._held_s, self._held_s + wait_s
        if before <= _TELL_S < self._held_s:
            self.warn(
                "QUOTA_AUDIO_RATE",
                "more audio comes than the tenant's quota; it is read at that rate",
                field="audio_rate",
                limit=f"{self.tenant.quota.audio_rate:g} seconds of audio a second",
            )

    @property
    def over_utterances(self) -> OverQuota | None:
        """Why another utterance would not be scored."""
        utterances = self.tenant.utterances
        if utterances is None or not (wait_s := utterances.wait_s()):
            return None
        return OverQuota(
            f"{utterances.limit} utterances were scored in the last minute, the tenant's quota; "
            f"the next one may be in {wait_s:.1f} s"
        )

    def take_utterance(self) -> None:
        """Count an utterance that is scored."""
        self._told_of_utterances = False
        if self.tenant.utterances is not None:
            self.tenant.utterances.take()

    def refuse_utterance(self, why: OverQuota) -> None:
        """Tell of an utterance that is not scored; once, until one is again."""
        if not self._told_of_utterances and self.tenant.utterances is not None:
            self._told_of_utterances = True
            limit = self.tenant.utterances.limit
            self.warn(
                "QUOTA_UTTERANCES",
                str(why),
                field="utterances",
                value=f"{limit} in the last minute",
                limit=f"{limit} a minute",
            )
