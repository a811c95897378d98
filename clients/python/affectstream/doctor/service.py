"""A server as a caller meets it: health, token, contract, answers, clock, bus."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import grpc
import numpy as np
import numpy.typing as npt

from affectstream import errors
from affectstream.client import AffectClient
from affectstream.config import StreamConfig
from affectstream.contract import DIMENSIONS, EMOTIONS, LIMITS, SAMPLE_RATE_HZ
from affectstream.doctor.findings import Finding, fail, ok, warn
from affectstream.enums import AffectStatus, AudioEncoding, ConsentBasis, WatchStart, name_of
from affectstream.events import AffectEvent, Event, SessionStarted
from affectstream.events import Warning as WarningEvent
from affectstream.info import ServerInfo
from affectstream.status import connect_cause
from affectstream.values import ModelInfo

ANSWERED: Final = frozenset(
    {
        AffectStatus.OK,
        AffectStatus.ABSTAINED,
        AffectStatus.LOW_SNR,
        AffectStatus.INSUFFICIENT_SPEECH,
        AffectStatus.CONSENT_WITHHELD,
    }
)
SKEW: Final = timedelta(seconds=2)
"""More than that between two clocks is warned about: tokens and traces are hurt."""
_SAME: Final = ("metadata_bytes", "message_bytes", "chunk_ms", "analyze_ms", "analyze_bytes")
"""Bounds that this client keeps to: a server's smaller one would refuse what it sends."""
_HEALTH: Final = "/grpc.health.v1.Health/Check"
_SERVING: Final = b"\x08\x01"
_LIVENESS: Final = b"\x0a\x08liveness"
_CHUNK: Final = SAMPLE_RATE_HZ // 10

Samples = npt.NDArray[np.int16]


@dataclass
class Talk:
    """What came of one short stream."""

    session_id: str
    finals: list[AffectEvent]
    skew: timedelta | None
    """The server's clock less ours, where it is sure that they differ at all; None: it told no time."""
    doubt: timedelta
    """Half of the time that the answer took: the skew is known no better."""


async def health(channel: grpc.aio.Channel, timeout_s: float) -> Finding:
    """The standard health service: it needs no token."""
    check: Any = channel.unary_unary(_HEALTH)
    try:
        if await check(b"", timeout=timeout_s) == _SERVING:
            return ok("health", "streams are accepted")
        alive = await check(_LIVENESS, timeout=timeout_s) == _SERVING
    except grpc.aio.AioRpcError as error:
        cause = connect_cause(error.details() or "") or error.code().name
        return fail(
            "health",
            f"no answer to the health check: {cause}",
            "is it an Affectstream server? Does it want a client's certificate (--cert, --key)? Is it full?",
        )
    said = "the process lives and takes no streams" if alive else "the server is not well"
    return fail(
        "health",
        said,
        "its log says why: the model is not ready (is Triton there?), or it drains"
        "; docs/runbooks/not-ready.md",
    )


async def token(client: AffectClient, given: bool) -> tuple[Finding, ServerInfo | None]:
    """Whether it lets this caller in, and what it says that it is."""
    try:
        info = await client.server_info()
    except errors.Unauthenticated:
        said = "the token is not accepted" if given else "the server asks for a token"
        mend = (
            "one of auth.tokens_file or of the right issuer that has not expired; the server's log says why"
            if given
            else "--token-file FILE; `affectstream token` makes one"
        )
        return fail("token", said, mend), None
    except errors.AffectStreamError as error:
        return fail("token", str(error), "the server's log at this time"), None
    said = f"the server, version {info.version}, lets this caller in"
    return ok("token", said if given else f"{said}, without a token"), info


def contract(info: ServerInfo) -> Finding:
    """Whether both sides mean the same."""
    wrong: list[str] = []
    if AudioEncoding.LINEAR16 not in info.encodings:
        wrong.append("it does not take LINEAR16")
    if not info.min_sample_rate_hz <= SAMPLE_RATE_HZ <= info.max_sample_rate_hz:
        wrong.append(f"it does not take {SAMPLE_RATE_HZ} Hz")
    limits = {limit.name: limit.value for limit in info.limits}
    wrong += [
        f"{name} is {limits[name]}, here {getattr(LIMITS, name)}"
        for name in _SAME
        if limits.get(name, getattr(LIMITS, name)) < getattr(LIMITS, name)
    ]
    for model in info.models:
        wrong += _model_differs(model)
    if not info.models:
        wrong.append("it has no model")
    if wrong:
        return fail("contract", "; ".join(wrong), "install the same version on both sides")
    (first, *others) = info.models
    more = f" and {len(others)} more" if others else ""
    return ok("contract", f"model {first.name} {first.version}{more}; labels, audio and limits are as here")


async def canary(client: AffectClient, sound: Samples, timeout_s: float) -> Finding:
    """One utterance, answered in time."""
    began = time.perf_counter()
    try:
        event = await client.analyze(sound, consent_basis=ConsentBasis.NOT_PERSONAL, timeout_s=timeout_s)
    except errors.AffectStreamError as error:
        return fail("canary", str(error), _mend(error))
    return _answered("canary", [event], 1_000 * (time.perf_counter() - began))


async def stream(client: AffectClient, sound: Samples) -> tuple[Finding, Talk | None]:
    """A short talk, as fast as it is taken."""
    config = StreamConfig(consent_basis=ConsentBasis.NOT_PERSONAL)  # the talk is synthetic
    began = time.perf_counter()
    sent_at = datetime.now(UTC)
    try:
        async with client.stream(config) as talk:
            heard = datetime.now(UTC)
            for start in range(0, len(sound), _CHUNK):
                await talk.send(sound[start : start + _CHUNK])
            await talk.end()
            finals = [event async for event in talk if isinstance(event, AffectEvent) and event.is_final]
            doubt = (heard - sent_at) / 2
            told = talk.started.server_time
            skew = None if told is None else told - (sent_at + doubt)
            found = Talk(talk.session_id, finals, skew, doubt)
    except errors.AffectStreamError as error:
        return fail("stream", str(error), _mend(error)), None
    if not finals:
        return fail("stream", "the talk had no final", "endpointing.* of the server's settings"), found
    return _answered("stream", finals, 1_000 * (time.perf_counter() - began)), found


def clock(talk: Talk) -> Finding:
    """Their time against ours."""
    if talk.skew is None:
        return warn("clock", "the server told no time", "install the same version on both sides")
    off = max(abs(talk.skew) - talk.doubt, timedelta())
    said = (
        f"the server's clock is {talk.skew.total_seconds():+.3f} s off, ± {talk.doubt.total_seconds():.3f} s"
    )
    if off > SKEW:
        return warn(
            "clock", said, "NTP on both machines: tokens expire early or late, and traces do not nest"
        )
    return ok("clock", said)


async def bus(client: AffectClient, talk: Talk) -> Finding:
    """The session that was just made, as another would watch it."""
    seen: list[Event] = []
    try:
        async with client.watch(
            talk.session_id, start=WatchStart.EARLIEST, reconnect=None, wait_s=2
        ) as watch:
            async for event in watch:
                if isinstance(event, WarningEvent) and event.code == "BUS_AWAY":
                    return _away("the server says that Redis is away")
                seen.append(event)
    except errors.AffectStreamError as error:
        if error.reason == "BUS_AWAY":
            return _away(str(error))
        if isinstance(error, errors.NotFound | errors.Unimplemented):
            return warn("bus", str(error), "bus.retention_events above 0, where sessions are to be watched")
        return fail("bus", str(error), _mend(error))
    finals = sum(isinstance(event, AffectEvent) and event.is_final for event in seen)
    if not any(isinstance(event, SessionStarted) for event in seen) or finals < len(talk.finals):
        return fail(
            "bus",
            f"{finals} of {len(talk.finals)} finals could be watched",
            "Redis' memory and the bus.* settings: events gave way before their time",
        )
    return ok("bus", f"{len(seen)} events of the stream watched, {finals} finals")


def _away(said: str) -> Finding:
    return fail("bus", said, "start Redis, or correct bus.url and the network; docs/runbooks/bus-away.md")


def _answered(check: str, finals: list[AffectEvent], took_ms: float) -> Finding:
    bad = [final for final in finals if final.status not in ANSWERED]
    if bad:
        first = bad[0]
        detail = f": {first.status_detail}" if first.status_detail else ""
        return fail(
            check,
            f"{name_of(first.status)}{detail}",
            "the model or its queue: docs/runbooks/finals-failing.md; the server's log has the fault",
        )
    if any(final.model is not None and final.model.fallback for final in finals):
        return warn(
            check,
            "the embedded model answered in place of the one behind Triton",
            "is Triton well? docs/runbooks/fallback-answers.md",
        )
    count = f"{len(finals)} final{'s' if len(finals) > 1 else ''}"
    return ok(check, f"{count}, {name_of(finals[0].status)}, after {took_ms:.0f} ms")


def _mend(error: errors.AffectStreamError) -> str:
    if isinstance(error, errors.TimedOut):
        return "more time (--deadline), or a look at what the server is busy with"
    if isinstance(error, errors.ResourceExhausted):
        return "a quota or a limit is used up: docs/runbooks/refusals.md"
    if isinstance(error, errors.ServerUnavailable):
        return "the server drains, is not ready, or was cut off: its log says which"
    return "the server's log at this time"


def _model_differs(model: ModelInfo) -> list[str]:
    order = [label for label in EMOTIONS if label in model.labels]
    wrong = []
    if list(model.labels) != order:
        wrong.append(
            f"model {model.name}: labels {', '.join(model.labels)} are not this contract's, in its order"
        )
    if unknown := [name for name in model.dimensions if name not in DIMENSIONS]:
        wrong.append(f"model {model.name}: dimensions {', '.join(unknown)} are not known here")
    return wrong
