"""The way of the data, and what all streams share.

    receive   order of messages, configuration        stages/receive.py   session.receive
    unpack    Opus → PCM                              stages/opus.py      session.receive
    decode    bytes → 16-bit samples at 16 kHz        stages/decode.py    channel.feed
    detect    samples → speech probability            stages/detect.py    Pipeline._tick
    segment   probabilities → utterances              stages/segment.py   channel.decide
    score     utterance → distribution, dimensions    stages/score.py     voice.scoring
    decide    score → values and status               stages/decide.py    voice._deliver
    emit      events in order, bounded                stages/emit.py      session.events

The first steps run as messages come. Detection gathers the blocks of all streams for a tick and
looks at them in one batch; everything after it runs from there.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from contextvars import Context
from typing import Final

from affectstream_server.analyze import Analyzer
from affectstream_server.auth import Identity
from affectstream_server.blocks import Blocks
from affectstream_server.bus.bus import Bus
from affectstream_server.bus.open import open_bus
from affectstream_server.channel import Channel
from affectstream_server.errors import InternalFault, LimitReached
from affectstream_server.explain import Explainer, Explaining
from affectstream_server.guidance import Advisor, open_policy
from affectstream_server.observer import NOBODY, Observer
from affectstream_server.quotas import Quotas
from affectstream_server.real_time import RealTime
from affectstream_server.scoring.load import Load, Share
from affectstream_server.scoring.router import Route, Router, not_ready
from affectstream_server.session import Session
from affectstream_server.sessions import Sessions
from affectstream_server.settings import Settings
from affectstream_server.stages.detect import Detector
from affectstream_server.stages.fuse import open_fusion
from affectstream_server.stream import Stream
from affectstream_server.stream_quota import StreamQuota
from affectstream_server.watch import Watching

_log = logging.getLogger(__name__)

_DRAIN_EXTRA_S: Final = 10.0
"""After the grace, for scores that are due and events that a slow reader takes."""
_MOST_BLOCKS: Final = 4
"""Of one stream in a batch: as many as end in a frame of 100 ms."""
_CLOCK_S: Final = 0.1
"""How often stalled audio and the drain are looked at, for all streams at once."""


class Pipeline:
    """Every session of this process, its detector and its models. Lives on one event loop.

    Raises `SettingsError` for a tone policy that cannot be used.
    """

    def __init__(
        self, settings: Settings, router: Router, observer: Observer = NOBODY, *, bus: Bus | None = None
    ) -> None:
        """``bus``: in place of the one that the settings ask for."""
        self.settings = settings
        self.router = router
        self._observer = observer
        self._nobodys = Context()
        self.load = Load(settings.scoring.optional_below)
        self.quotas = Quotas(settings)
        self._real_time = RealTime(settings.server.ahead_rate)
        self.explainer = Explainer(settings)
        self.policy = open_policy(settings.guidance)
        self.analyzer = Analyzer(
            settings,
            router,
            self.load,
            self.quotas,
            self._real_time,
            explainer=self.explainer,
            observer=observer,
            policy=self.policy,
        )
        self._opened = itertools.count(1)
        self._detector = Detector(settings.detection.max_batch)
        self._waiting: Blocks[tuple[Session, Channel]] = Blocks(self._real_time)
        self._tick_planned = False
        self._ticked_at = 0.0
        self.bus: Bus | None = bus if bus is not None else open_bus(settings.bus)
        self.sessions = Sessions(
            settings,
            router,
            self,
            release=self._release,
            bus=self.bus,
            observer=observer,
            fusion=open_fusion(settings.fusion),
        )
        self.watching = Watching(settings.bus, self.bus)
        self._empty = asyncio.Event()
        self._clock: asyncio.Task[None] | None = None

    @property
    def streams(self) -> int:
        """Calls that are open."""
        return self.sessions.streams

    @property
    def waiting(self) -> int:
        """Channels whose blocks wait for the detector."""
        return len(self._waiting)

    def start(self) -> None:
        """Begin to watch the clock."""
        if self.bus is not None:
            self.bus.start()
        self._clock = asyncio.get_running_loop().create_task(self._watch_clock())

    async def close(self) -> None:
        """Stop. Every stream must be closed."""
        self.sessions.close_lost()
        if self.bus is not None:
            await self.bus.close()
        if self._clock is not None:
            self._clock.cancel()
            await asyncio.gather(self._clock, return_exceptions=True)
        self.explainer.close()
        await self.router.close()

    def open_stream(self, identity: Identity) -> Stream:
        """Admit a call. Raises `Unavailable` while draining or not ready, `LimitReached` when full."""
        if not self.sessions.draining and self.router.trouble:
            raise not_ready()
        stream = self.sessions.open_stream(identity)
        try:
            self.quotas.tenant(identity.tenant).open_stream()
        except LimitReached:
            self.sessions.close_stream(stream)
            raise
        return stream

    def close_stream(self, stream: Stream) -> None:
        """The call is over; what it holds is given back."""
        try:
            self.sessions.close_stream(stream)
        finally:
            self.quotas.tenant(stream.identity.tenant).close_stream()
            if not self.streams:
                self._empty.set()

    async def drain(self, grace_s: float) -> None:
        """Refuse new calls, let open utterances end, and return when none is left."""
        self.sessions.drain(grace_s)
        if self.streams:
            self._empty.clear()
        else:
            self._empty.set()
        try:
            async with asyncio.timeout(grace_s + _DRAIN_EXTRA_S):
                await asyncio.gather(self._empty.wait(), self.analyzer.drain())
        except TimeoutError:
            _log.warning("drain: %d streams did not end in time and are dropped", self.streams)
        self.watching.drain()

    def _release(self, session: Session) -> None:
        """A session is over: its places in the detector are free."""
        if any(channel.queued for channel in session.channels):
            self._waiting.remove(session.identity.tenant, lambda entry: entry[0] is session)
        for channel in session.channels:
            channel.free()
            if channel.slot is not None:
                self._detector.close(channel.slot)
                channel.slot = None

    def explaining(self, scorer: Route, share: Share, *, cues: bool, saliency: bool) -> Explaining | None:
        """What a session's finals carry beside their scores; None: nothing."""
        return self.explainer.of(scorer, share, cues=cues, saliency=saliency)

    def quota(self, identity: Identity) -> StreamQuota:
        """What a new session may take."""
        tenant = self.quotas.tenant(identity.tenant)
        share = self.load.share(tenant.name, next(self._opened), tenant.quota.weight)
        return StreamQuota(tenant, share, self._real_time)

    def advisor(self, language: str) -> Advisor | None:
        """What a new session's events are advised by; None: guidance is off."""
        return Advisor(self.policy, language) if self.policy is not None else None

    # -- what a session asks of the detector -------------------------------------------------------

    def open_slot(self) -> int:
        """A place in the detector."""
        return self._detector.open()

    def reset_slot(self, slot: int) -> None:
        """Forget what was heard there."""
        self._detector.reset(slot)

    def enqueue(self, session: Session, channel: Channel) -> None:
        """Look at the channel's blocks in the next batches."""
        if channel.queued:
            return
        self._wait(session, channel)
        if not self._tick_planned:
            self._tick_planned = True
            loop = asyncio.get_running_loop()
            due = self._ticked_at + self.settings.detection.tick_ms / 1_000
            # What it begins is no more of the session that planned it than of the others.
            if loop.time() >= due:
                loop.call_soon(self._tick, context=self._nobodys)
            else:
                loop.call_at(due, self._tick, context=self._nobodys)

    def settle(self, session: Session, channel: Channel) -> None:
        """Look at all of the channel's blocks now, alone: a control holds at the audio before it."""
        while channel.has_block and session.failure is None:
            self._look_at([(session, channel)])

    def _wait(self, session: Session, channel: Channel) -> None:
        channel.queued = True
        self._waiting.add(session.identity.tenant, (session, channel), ahead=session.quota.is_ahead)

    def _tick(self) -> None:
        """Look at up to ``max_batch`` blocks; come back at once if more wait."""
        waiting = self._waiting
        self._ticked_at = asyncio.get_running_loop().time()
        batch: list[tuple[Session, Channel]] = []
        try:
            batch = waiting.take(self._detector.max_batch)
            for _, channel in batch:
                channel.queued = False
            self._look_at(batch)
        except Exception:  # noqa: BLE001 - the next tick must come, whatever this one met
            _log.exception("a batch of %d blocks failed", len(batch))
            for session, _ in batch:
                session.interrupt(InternalFault())
        for session, channel in batch:
            if channel.has_block and not channel.queued and session.failure is None:
                self._wait(session, channel)
        if waiting:
            asyncio.get_running_loop().call_soon(self._tick)
        else:
            self._tick_planned = False

    def _look_at(self, batch: list[tuple[Session, Channel]]) -> None:
        began = time.perf_counter()
        batch, counts = self._share_out(batch)
        if not batch:
            return
        slots = [channel.slot for _, channel in batch if channel.slot is not None]
        windows = [channel.window(count) for (_, channel), count in zip(batch, counts, strict=True)]
        probabilities = self._detector.detect(slots, windows)
        now = time.monotonic()
        for place, row in enumerate(probabilities.tolist()):
            for (session, channel), count, probability in zip(batch, counts, row, strict=True):
                if place and (place >= count or session.failure is not None or channel.slot is None):
                    continue
                try:
                    session.listening.decided(channel, probability, now)
                except Exception:  # noqa: BLE001 - one session's fault must not stop the others
                    _log.exception("session %s failed", session.told_id)
                    session.interrupt(InternalFault())
        self._observer.looked(sum(counts), time.perf_counter() - began)

    def _share_out(
        self, batch: list[tuple[Session, Channel]]
    ) -> tuple[list[tuple[Session, Channel]], list[int]]:
        """Those of a batch that have blocks, and how many to look at: one each, and more where there is room.

        Who is ahead of real time has one, while others are at real time.
        """
        left = self._detector.max_batch - len(batch)
        live = self._real_time.is_live
        entries, counts = [], []
        for entry in batch:
            session, channel = entry
            blocks = channel.blocks
            if blocks > 1:
                most = 1 if live and session.quota.is_ahead else _MOST_BLOCKS
                blocks = min(blocks, most, 1 + left)
                left -= blocks - 1
            if blocks:
                entries.append(entry)
                counts.append(blocks)
        return entries, counts

    async def _watch_clock(self) -> None:
        in_time = True
        while True:
            due = time.monotonic() + _CLOCK_S
            await asyncio.sleep(_CLOCK_S)
            now = time.monotonic()
            in_time = not in_time or now - due < _CLOCK_S
            if not in_time:
                continue  # the loop was stuck: what came meanwhile is read before its lack is a stall
            try:
                self.sessions.check_clock(now)
            except Exception:  # noqa: BLE001 - the clock must go on, whatever this look met
                _log.exception("letting go of sessions failed")
            for session in self.sessions:
                if now < session.look_at:
                    continue
                try:
                    session.check_clock(now)
                except Exception:  # noqa: BLE001 - one session's fault must not stop the clock of the others
                    _log.exception("session %s failed", session.told_id)
                    session.interrupt(InternalFault())
