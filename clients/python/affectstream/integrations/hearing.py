"""A conversation's way to the server, for a pipeline that must never wait for it.

Audio and controls go into a bounded backlog; a task of its own sends them, reads what comes back, and
opens the stream again when it was lost. A server that is slow, frozen or gone costs audio that is dropped
and counted.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from typing import Final

from affectstream import errors
from affectstream.client import AffectClient
from affectstream.config import AudioFormat, Channel, StreamConfig
from affectstream.enums import EndpointingMode
from affectstream.events import AffectEvent, Event, SessionStarted, SessionSummary, TurnAffect
from affectstream.integrations.backlog import Audio, Backlog, ControlKind
from affectstream.integrations.recent import Recent
from affectstream.stream import AffectStream
from affectstream.tone import Policy, ToneGuide

log = logging.getLogger(__name__)

FIRST_DELAY_S: Final = 0.25
MOST_DELAY_S: Final = 8.0
STEADY_S: Final = 10.0
"""A stream that lasted so long is opened again after `FIRST_DELAY_S`."""
GOODBYE_S: Final = 0.5
"""How long `close` waits for the server's last events."""
MOST_BACK_S: Final = 1.9
"""How far back an utterance may begin; the server allows 2 s."""
_RECONNECT: Final = (
    ("grpc.initial_reconnect_backoff_ms", 250),
    ("grpc.min_reconnect_backoff_ms", 250),
    ("grpc.max_reconnect_backoff_ms", 8_000),
)
_REFUSALS: Final = (
    errors.InvalidRequest,
    errors.FailedPrecondition,
    errors.Unauthenticated,
    errors.PermissionDenied,
    errors.Unimplemented,
)

Listener = Callable[[Event], Awaitable[None]]


class Hearing:
    """One conversation. Positions are samples since its first audio, whatever streams carry it.

    Args:
        server: ``"host:port"`` in plain text, or a client that is open for as long as this is.
        audio: What `hear` is given.
        config: Everything else that the stream is asked for.
        on_event: Awaited for each event, in order.
        policy: What finals and turns say of the reply, whatever the server says. None: what the server says,
            or the client's own policy where it says nothing.
    """

    def __init__(
        self,
        server: str | AffectClient,
        audio: AudioFormat,
        config: StreamConfig,
        on_event: Listener | None = None,
        policy: Policy | None = None,
    ) -> None:
        self._server = server
        self._guide = ToneGuide(policy, config.language_code)
        self._config = replace(
            config,
            audio=audio,
            channels=config.channels or ((Channel(index=0),) if audio.channel_count > 1 else ()),
        )
        self._on_event = on_event
        self._rate_hz = audio.sample_rate_hz
        self._mode = config.endpointing.mode or EndpointingMode.SERVER
        self._backlog = Backlog(audio.sample_rate_hz, audio.frame_bytes or 1)
        self._recent = Recent(self._rate_hz, caller_detects=self._mode == EndpointingMode.CALLER)
        self._speaking = False
        self._withdrawn = False
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.connected = False
        """A stream is open."""

    @property
    def position(self) -> int:
        """After the newest audio, in samples since the first."""
        return self._backlog.position

    @property
    def dropped_s(self) -> float:
        """Seconds of audio that were dropped because the server did not take them in time."""
        return self._backlog.dropped_samples / self._rate_hz

    @property
    def is_unanswered(self) -> bool:
        """Something was said, as far as is known here, that has no reply yet."""
        return self._recent.is_unanswered

    def hear(self, pcm: bytes) -> None:
        """Take some audio; never waits. The first connects."""
        self._backlog.add_audio(pcm)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="affectstream-hearing")
            self._task.add_done_callback(_tell_fault)

    def speech_started(self, ago_s: float) -> None:
        """The pipeline's own detection heard speech begin, `ago_s` seconds before the newest audio."""
        if self._speaking:
            return
        self._speaking = True
        if self._mode == EndpointingMode.CALLER:
            earliest = max(self._recent.ended_at, self.position - round(MOST_BACK_S * self._rate_hz))
            self._backlog.add_control("speech_started", max(earliest, self._ago(ago_s)))

    def speech_ended(self, ago_s: float) -> None:
        """The pipeline's own detection heard speech end, `ago_s` seconds before the newest audio."""
        if not self._speaking:
            return
        self._speaking = False
        end = self._ago(ago_s)
        self._recent.speech_ended(end)
        if self._mode != EndpointingMode.SERVER:
            self._backlog.add_control("speech_ended", end)

    def agent_speaks(self, speaks: bool) -> None:
        """The agent's own voice plays now, or does not any more."""
        kind: ControlKind = "agent_speech_started" if speaks else "agent_speech_ended"
        self._backlog.add_control(kind, self.position)

    def withdraw_consent(self) -> None:
        """The speaker withdrew consent: no value is kept or given from now on.

        The server is told before anything else, on this stream and on each that follows it.
        """
        self._withdrawn = True
        self._recent.forget()

    def answered(self, position: int | None = None) -> None:
        """What was said up to `position`, or up to now, has its reply: later speech is a new turn."""
        self._recent.answered_until = self.position if position is None else position

    async def affect(self, limit_s: float) -> AffectEvent | None:
        """The utterance of the open turn that weighs most, after waiting for those that are over.

        Args:
            limit_s: Longest wait. Without a connection nothing is waited for.

        Returns:
            An event with values; None: none came, or none has values.
        """
        try:
            async with asyncio.timeout(limit_s):
                while self.connected and self._recent.is_awaited:
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            log.info("no affect within %g s; the reply goes without", limit_s)
        return self._recent.affect()

    async def close(self) -> None:
        """End the conversation; waits at most `GOODBYE_S` for its last events."""
        self._backlog.end()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.wait({task}, timeout=GOODBYE_S if self.connected else 0)
            task.cancel()
            await asyncio.wait({task})

    def _ago(self, ago_s: float) -> int:
        return max(0, self.position - round(ago_s * self._rate_hz))

    async def _run(self) -> None:
        """Keep a stream open until the conversation ends or the server refuses it for good."""
        loop = asyncio.get_running_loop()
        async with AsyncExitStack() as stack:
            client = self._server
            if isinstance(client, str):
                client = await stack.enter_async_context(AffectClient(client, options=_RECONNECT))
            delay_s = FIRST_DELAY_S
            while True:
                began_s = loop.time()
                try:
                    await self._converse(client)
                    error = errors.AffectStreamError("the server closed the stream")
                except errors.AffectStreamError as raised:
                    error = raised
                was_open, self.connected = self.connected, False
                self._news.set()
                if isinstance(error, _REFUSALS) and not was_open:
                    log.error("the conversation goes on without affect: %s", error)
                    return
                if self._backlog.ended:
                    return
                log.warning("no stream, another is opened in %.1f s at least: %s", delay_s, error)
                await asyncio.sleep(max(delay_s * random.uniform(0.8, 1.2), error.retry_after_s or 0.0))  # noqa: S311
                steady = was_open and loop.time() - began_s > STEADY_S
                delay_s = FIRST_DELAY_S if steady else min(2 * delay_s, MOST_DELAY_S)

    async def _converse(self, client: AffectClient) -> None:
        """One stream, from its opening to its end."""
        async with client.stream(self._config) as stream:
            base = self._backlog.oldest
            self._recent.restart(base)
            if self._mode == EndpointingMode.CALLER and self._backlog.begins_in_speech(now=self._speaking):
                await stream.speech_started(position_samples=0)
            self.connected = True
            tasks = [asyncio.create_task(part) for part in (self._read(stream), self._send(stream, base))]
            try:
                done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if tasks[0] not in done and tasks[1].exception() is None:
                    await asyncio.wait(tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.wait(tasks)
            for task in tasks:
                if not task.cancelled():
                    task.result()

    async def _send(self, stream: AffectStream, base: int) -> None:
        told = False
        while (item := await self._backlog.get()) is not None:
            if self._withdrawn and not told:
                told = True
                await stream.withdraw_consent()
            if isinstance(item, Audio):
                await stream.send(item.data, start_samples=item.start - base)
            else:
                position = max(0, item.position - base)
                await getattr(stream, item.kind)(position_samples=position)
        await stream.end()

    async def _read(self, stream: AffectStream) -> None:
        async for received in stream:
            if isinstance(received, SessionStarted) and not received.guidance_policy:
                await asyncio.to_thread(lambda: self._guide.policy)  # a file is read
            event = self._guided(received)
            withheld = self._withdrawn and _has_values(event)  # said before the server knew
            self._recent.note(event, keep=not withheld)
            self._news.set()
            if self._on_event is not None and not withheld:
                try:
                    await self._on_event(event)
                except Exception:
                    log.exception("a listener failed; listening goes on")

    def _guided(self, event: Event) -> Event:
        """A final or a turn with its guidance, as `ToneGuide` gives it."""
        advice = self._guide.hear(event)
        if isinstance(event, TurnAffect) or (isinstance(event, AffectEvent) and event.is_final):
            return replace(event, guidance=advice)
        return event


def _has_values(event: Event) -> bool:
    if isinstance(event, SessionSummary):
        return bool(event.states)
    return isinstance(event, AffectEvent | TurnAffect) and bool(event.emotions)


def _tell_fault(task: asyncio.Task[None]) -> None:
    """Such as a client that was closed under the conversation."""
    if not task.cancelled() and (fault := task.exception()) is not None:
        log.error("the conversation goes on without affect", exc_info=fault)
