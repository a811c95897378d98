"""AnalyzeUtterance: one whole utterance in, its final event out. Knows nothing of gRPC.

The caller's bounds are the utterance's bounds: nothing is detected and nothing is cut off.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Final

import numpy as np

from affectstream.contract import LIMITS
from affectstream.tone import Policy
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import Identity
from affectstream_server.endings import going_away
from affectstream_server.errors import InvalidRequest, LimitReached, NotServed
from affectstream_server.explain import Explainer
from affectstream_server.guidance import advise_alone
from affectstream_server.observer import NOBODY, Observer, SessionObserver
from affectstream_server.quotas import Quotas, Tenant
from affectstream_server.real_time import RealTime
from affectstream_server.scoring.load import Load, Share
from affectstream_server.scoring.router import Route, Router
from affectstream_server.settings import Settings
from affectstream_server.stages.decide import TooShort, Verdict, affect_event
from affectstream_server.stages.decode import AudioFormat, Decoder, Samples
from affectstream_server.stages.opus import Corrupt, Hole, unpacker
from affectstream_server.stages.receive import (
    check_consent,
    check_language,
    check_model,
    read_format,
    refused_role,
    role_refusal,
)
from affectstream_server.stages.score import score_utterance
from affectstream_server.stages.segment import Ended, Trigger
from affectstream_server.timeline import ms_of_samples, samples_of_ms
from affectstream_server.utterance import Utterance

_STREAM: Final = "analyses"
"""All analyses of a tenant wait as one stream of it."""
_MAX_SAMPLES: Final = samples_of_ms(LIMITS.analyze_ms)


@dataclass(frozen=True, slots=True)
class Asked:
    """A request after every check."""

    format: AudioFormat
    channel: int
    data: bytes
    outputs: pb.OutputConfig
    utterance_id: str


_COST: Final = 0.25
"""Of an utterance that comes whole, beside one that is found in a stream."""


class Analyzer:
    """Every AnalyzeUtterance of this process; at most ``server.max_analyses`` at once."""

    def __init__(
        self,
        settings: Settings,
        router: Router,
        load: Load,
        quotas: Quotas,
        real_time: RealTime,
        *,
        explainer: Explainer,
        observer: Observer = NOBODY,
        policy: Policy | None = None,
    ) -> None:
        """``policy``: of the guidance that answers carry; None: they carry none."""
        self._observer = observer
        self._settings = settings
        self._router = router
        self._load = load
        self._quotas = quotas
        self._real_time = real_time
        self._explainer = explainer
        self._policy = policy
        self._draining = False
        self._idle = asyncio.Event()
        self._idle.set()
        self.in_flight = 0
        """Calls that were admitted and not answered."""
        self.elsewhere = 0
        """As many in other processes of this server."""

    async def drain(self) -> None:
        """Refuse new calls, and return when those in hand are answered: each has its deadline."""
        self._draining = True
        await self._idle.wait()

    async def analyze(
        self,
        request: pb.AnalyzeUtteranceRequest,
        remaining_s: float | None,
        identity: Identity,
    ) -> pb.AnalyzeUtteranceResponse:
        """Answer a call that its caller awaits for ``remaining_s``; None: for ever. Raises `ServiceError`."""
        route = self._admit()
        tenant = self._quotas.tenant(identity.tenant)
        self.in_flight += 1
        self._idle.clear()
        try:
            with tenant.analysis():
                return await self._answer(request, route, remaining_s, tenant)
        finally:
            self.in_flight -= 1
            if not self.in_flight:
                self._idle.set()

    def _admit(self) -> Route:
        if self._draining:
            raise going_away()
        limit = self._settings.server.max_analyses
        if (in_hand := self.in_flight + self.elsewhere) >= limit:
            raise LimitReached(
                f"{limit} analyses are in hand, the most that are served at once",
                reason="TOO_MANY_ANALYSES",
                field="analyses",
                value=in_hand,
                limit=limit,
                retry_after_s=1.0,
            )
        return self._router.open()

    async def _answer(
        self, request: pb.AnalyzeUtteranceRequest, route: Route, remaining_s: float | None, tenant: Tenant
    ) -> pb.AnalyzeUtteranceResponse:
        loop = asyncio.get_running_loop()
        wait_s = self._settings.scoring.deadline_ms / 1_000
        until = loop.time() + (wait_s if remaining_s is None else min(wait_s, remaining_s))
        check_language(request.language_code, "language_code")
        asked = read_request(request, self._settings, route.names)
        route.choose(request.model, request.language_code)
        samples = await asyncio.to_thread(decode_utterance, asked)
        tenant.take_audio(len(samples))
        wait_s = self._real_time.take(_COST * ms_of_samples(len(samples)) / 1_000)
        await asyncio.sleep(min(wait_s, (until - loop.time()) / 2))
        # The caller's own id may be about a person: it goes into the answer, and nowhere else.
        utterance = _whole(secrets.token_hex(8), samples)
        observed = self._observer.analysis(tenant.name)
        try:
            event = await self._event(
                utterance, route, until, tenant, observed=observed, outputs=asked.outputs
            )
        finally:
            observed.ended("")
        event.utterance_id = asked.utterance_id
        if self._policy is not None:
            advise_alone(self._policy, event, request.language_code)
        return pb.AnalyzeUtteranceResponse(event=event)

    async def _event(
        self,
        utterance: Utterance,
        route: Route,
        until: float,
        tenant: Tenant,
        *,
        observed: SessionObserver,
        outputs: pb.OutputConfig,
    ) -> pb.AffectEvent:
        observed.declared(utterance)
        samples, clock = utterance.audio, asyncio.get_running_loop().time
        least_ms = self._settings.endpointing.min_utterance_ms
        if ms_of_samples(len(samples)) < least_ms:
            short = TooShort(
                f"{ms_of_samples(len(samples)):.0f} ms of audio, scored from {least_ms} ms (min_utterance_ms)"
            )
            verdict = Verdict(utterance, None, short, time.perf_counter())
        else:
            share = self._load.share(tenant.name, _STREAM, tenant.quota.weight)
            explaining = self._explainer.of(route, share, cues=outputs.cues, saliency=outputs.saliency)
            left_s = max(0.0, until - clock())
            scoring = _score(route, utterance, share, left_s, observed)
            if explaining is None:
                verdict = await scoring
            else:
                verdict = await explaining.explained(utterance, scoring, time.perf_counter() + left_s)
        event = affect_event(verdict, route.model, embedding=outputs.embedding)
        event.timing.ClearField("hangover_ms")
        event.traceparent = observed.traceparent(utterance.utterance_id)
        observed.decided(verdict, event)
        return event


async def _score(
    route: Route, utterance: Utterance, share: Share, timeout_s: float, observed: SessionObserver
) -> Verdict:
    with share.ticket(urgent=True) as ticket:
        return await score_utterance(route, utterance, timeout_s, ticket, observed)


def read_request(request: pb.AnalyzeUtteranceRequest, settings: Settings, names: tuple[str, ...]) -> Asked:
    """Check a request. Raises `InvalidRequest`, `NotServed` or `Refused`."""
    check_model(request.model, names, "model")
    check_consent(request.consent_basis, settings, "consent_basis")
    if refused_role(request.subject_role, settings):
        raise role_refusal("subject_role", request.subject_role, settings)
    if len(request.utterance_id.encode()) > LIMITS.label_bytes:
        raise InvalidRequest(
            "utterance_id",
            f"{len(request.utterance_id.encode())} bytes",
            f"at most {LIMITS.label_bytes} bytes",
        )
    outputs = request.outputs
    for name in ("provisional_interval_ms", "progress_interval_ms"):
        if outputs.HasField(name):
            raise InvalidRequest(f"outputs.{name}", getattr(outputs, name), "unset: there is one event")
    audio = read_format(request.audio, "audio")
    if audio.encoding == "OPUS_PACKETS":
        raise NotServed("audio.encoding", "OPUS_PACKETS", instead="send the packets in Ogg, as OGG_OPUS")
    channel = _read_channel(request, audio.channel_count)
    if not request.data:
        raise InvalidRequest("data", "empty", "the audio of one utterance", reason="NO_AUDIO")
    return Asked(audio, channel, request.data, outputs, request.utterance_id or secrets.token_hex(16))


def _read_channel(request: pb.AnalyzeUtteranceRequest, count: int) -> int:
    if not request.HasField("channel") and count > 1:
        raise InvalidRequest(
            "channel", "unset", f"which of the {count} channels to analyse", reason="NO_CHANNEL"
        )
    if request.channel >= count:
        raise InvalidRequest("channel", request.channel, f"0 to {count - 1}", reason="NO_SUCH_CHANNEL")
    return request.channel


def decode_utterance(asked: Asked) -> Samples:
    """The utterance as int16 ``[n]`` at 16 kHz. Raises `InvalidRequest`.

    Takes tens of milliseconds for the longest: not for the event loop.
    """
    decoder = Decoder(asked.format, asked.channel, limit_ms=LIMITS.analyze_ms)
    try:
        data = _unpacked(asked)
        _check_length(len(data), asked.format)
        samples = decoder.decode(data)
        rest = decoder.finish()
    except InvalidRequest as error:
        field = {"audio.data": "data"}.get(error.field, error.field.removeprefix("config."))
        raise InvalidRequest(field, error.value, error.limit, reason=error.reason) from None
    whole = (np.concatenate([samples, rest]) if len(rest) else samples)[:_MAX_SAMPLES]
    if not len(whole):
        raise InvalidRequest("data", "no samples", "the audio of one utterance", reason="NO_AUDIO")
    return whole


def _unpacked(asked: Asked) -> bytes:
    """PCM, as it came or out of Opus. A damaged stream is refused: one answer has no room for a warning."""
    unpack = unpacker(asked.format, limit_ms=None)
    if unpack is None:
        return asked.data
    frame_bytes = asked.format.frame_bytes
    pcm = bytearray()
    for parts in (unpack.unpack(asked.data), unpack.finish()):
        for part in parts:
            if isinstance(part, Corrupt):
                at_s = len(pcm) / frame_bytes / asked.format.sample_rate_hz
                raise InvalidRequest(
                    "data", f"{part.cause} at {at_s:.3f} s", "whole audio", reason="AUDIO_CORRUPT"
                )
            if isinstance(part, Hole):
                _check_length(len(pcm) + part.frames * frame_bytes, asked.format)
                pcm += bytes(part.frames * frame_bytes)
            else:
                pcm += part
                _check_length(len(pcm), asked.format)
    return bytes(pcm)


def _check_length(size_bytes: int, audio: AudioFormat) -> None:
    frames = size_bytes // audio.frame_bytes
    if frames * 1_000 > LIMITS.analyze_ms * audio.sample_rate_hz:
        raise InvalidRequest(
            "data",
            f"{frames * 1_000 // audio.sample_rate_hz} ms",
            f"at most {LIMITS.analyze_ms} ms; stream longer audio",
            reason="UTTERANCE_TOO_LONG",
        )


def _whole(utterance_id: str, samples: Samples) -> Utterance:
    end = len(samples)
    bounds = Ended(
        audio_start=0,
        audio_end=end,
        speech_end=end,
        speech_samples=end,
        decidable_at=end,
        trigger=Trigger.END_OF_AUDIO,
    )
    return Utterance(
        utterance_id=utterance_id,
        continues="",
        channel=0,
        bounds=bounds,
        audio=samples,
        barge_in=False,
        decision_ms=None,
    )
