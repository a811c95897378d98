"""All checks in order; what needs something that failed is left out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from affectstream.channel import open_channel
from affectstream.client import AffectClient
from affectstream.doctor import network, service, surroundings
from affectstream.doctor.findings import Finding, skip
from affectstream.doctor.service import Samples
from affectstream.tls import Tls

_OF_CALLER: Final = ("token", "contract", "canary", "stream", "clock", "bus")


@dataclass(frozen=True, slots=True, kw_only=True)
class Patient:
    """What is looked at, and with what."""

    address: str
    """HOST:PORT of a server."""
    tls: Tls | None
    client: AffectClient
    """Not entered yet."""
    has_token: bool
    sound: Samples
    """A few seconds of speech, 16 kHz mono."""
    deadline_s: float = 5.0
    """For each answer."""
    metrics: str = ""
    """HOST:PORT; empty: not looked at."""
    collector: str = ""
    """URL; empty: not looked at."""
    bridge: str = ""
    """URL; empty: not looked at."""


async def examine(patient: Patient) -> AsyncIterator[Finding]:
    """Every finding as it is found."""
    async for finding in _server(patient):
        yield finding
    for name, where in (
        ("metrics", patient.metrics),
        ("traces", patient.collector),
        ("bridge", patient.bridge),
    ):
        if where:
            yield await asyncio.to_thread(getattr(surroundings, name), where)
        else:
            yield skip(name, "not asked for")


async def _server(patient: Patient) -> AsyncIterator[Finding]:
    found = await asyncio.to_thread(network.reach, patient.address)
    yield found
    if found.stops:
        for left in ("tls", "health", *_OF_CALLER):
            yield skip(left, "reach failed")
        return
    found = await asyncio.to_thread(network.tls, patient.address, patient.tls)
    yield found
    if found.stops:
        for left in ("health", *_OF_CALLER):
            yield skip(left, "tls failed")
        return
    yield await _health(patient)  # one that is not ready still says who may come in, and what it is
    async with patient.client as client:
        async for found in _caller(patient, client):
            yield found


async def _health(patient: Patient) -> Finding:
    credentials = None if patient.tls is None else patient.tls.credentials()
    options = () if patient.tls is None else patient.tls.options
    async with open_channel(patient.address, credentials, options) as channel:
        return await service.health(channel, patient.deadline_s)


async def _caller(patient: Patient, client: AffectClient) -> AsyncIterator[Finding]:
    found, info = await service.token(client, patient.has_token)
    yield found
    if info is None:
        for left in _OF_CALLER[1:]:
            yield skip(left, "token failed")
        return
    yield service.contract(info)
    yield await service.canary(client, patient.sound, patient.deadline_s)
    found, talk = await service.stream(client, patient.sound)
    yield found
    if talk is None:
        yield skip("clock", "stream failed")
        yield skip("bus", "stream failed")
        return
    yield service.clock(talk)
    yield await service.bus(client, talk)
