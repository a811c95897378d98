"""What the supervisor keeps for its processes: counts, ids, sums; and the messages between them."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from affectstream_server.bucket import Bucket, Window
from affectstream_server.bus.entry import Entry, Position
from affectstream_server.processes.entries import pack, unpack
from affectstream_server.processes.ledger import Ledger
from affectstream_server.processes.link import Answer, Handler, Link, LinkLost, Message
from affectstream_server.processes.supervisor import for_processes
from affectstream_server.settings import Settings, SettingsError, load
from affectstream_server.telemetry.merge import Told, merged, sums, told_of

NAME = ("acme", "call-7")


def test_what_the_others_hold_is_theirs_and_goes_with_them() -> None:
    ledger = Ledger()
    keys = ["streams", "streams:acme"]
    assert ledger.take(1, 1, keys) == [0, 0]
    assert ledger.take(2, 1, keys) == [1, 1]
    assert ledger.take(1, 2, ["streams", "streams:other"]) == [1, 0]
    assert ledger.take(2, 2, keys) == [2, 1]
    ledger.give_back(1, 1)
    ledger.give_back(1, 1)
    assert ledger.take(2, 3, keys) == [1, 0], "what is given back twice is given back once"
    ledger.forget(2)
    assert ledger.take(1, 3, keys) == [0, 0]


def test_what_is_above_a_tenants_quota_does_not_count() -> None:
    ledger = Ledger()
    acme, other = ["streams", "streams:acme"], ["streams", "streams:other"]
    for process in (1, 2):
        assert ledger.take(process, 1, acme, limit=2) is not None
    assert ledger.take(1, 2, acme, limit=2) is None, "over both processes"
    assert ledger.take(2, 2, other, limit=2) == [1, 0]
    ledger.give_back(1, 2)
    assert ledger.take(1, 3, acme, limit=2) is None, "what was refused gives nothing back"
    ledger.give_back(2, 1)
    assert ledger.take(1, 4, acme, limit=2) == [1, 0]


def test_a_session_is_its_last_owner_s() -> None:
    ledger = Ledger()
    ledger.claim(1, NAME)
    ledger.gone(2, NAME)
    assert ledger.owner(NAME) == 1, "not the other's to give away"
    ledger.claim(2, NAME)
    ledger.gone(1, NAME)
    assert ledger.owner(NAME) == 2
    ledger.forget(2)
    assert ledger.owner(NAME) is None


@asynccontextmanager
async def linked(handle: Handler) -> AsyncIterator[tuple[Link, Link]]:
    """Two ends; messages to the second are handled."""
    ends = Link(lambda _: None), Link(handle)
    for link, end in zip(ends, socket.socketpair(), strict=True):
        await link.open(end)
    running = [asyncio.create_task(link.run()) for link in ends]
    try:
        yield ends
    finally:
        for link in ends:
            await link.close()
        await asyncio.gather(*running)


async def test_messages_come_in_order_and_whole_and_questions_are_answered() -> None:
    heard: list[Message] = []

    async def later(message: Message) -> Answer:
        await asyncio.sleep(0)
        return {"of": message.fields["n"]}, message.blob[::-1]

    def handle(message: Message) -> object:
        heard.append(message)
        if message.kind == "bad":
            raise ValueError
        return later(message) if message.kind == "ask" else None

    async with linked(handle) as (link, _):  # type: ignore[arg-type]
        blobs = [bytes([n]) * 100_000 for n in range(20)]
        for n, blob in enumerate(blobs):
            link.tell("tell", blob, n=n)
        link.tell("bad")
        answers = await asyncio.gather(*(link.ask("ask", b"ab", n=n) for n in range(3)))
    assert [message.blob for message in heard[:20]] == blobs
    assert answers == [({"of": n}, b"ba") for n in range(3)], "one that fails harms no other"


async def test_an_end_that_is_silent_or_gone_is_told_as_such() -> None:
    async with linked(lambda _: asyncio.sleep(60)) as (link, other):
        with pytest.raises(LinkLost):
            await link.ask("ask", within_s=0.01)
        waiting = asyncio.create_task(link.ask("ask", within_s=60))
        await asyncio.sleep(0.01)
        await other.close()
        with pytest.raises(LinkLost):
            await waiting
        with pytest.raises(LinkLost):
            await link.ask("ask")
        link.tell("nobody hears it")


def test_events_come_over_as_they_are() -> None:
    def entry(number: int, **flags: bool) -> tuple[Position, Entry]:
        data = bytes([number]) * number
        return (1, number), Entry(b"i" * 12, 1, number, 5, data, began=7, **flags)

    placed = [
        entry(0),
        entry(1, may_go=True, is_last=True),
        entry(2, has_values=True, again=True),
        entry(3, by_another=True),
    ]
    assert unpack(*pack(placed)) == placed


def told(**values: float) -> list[Told]:
    """What a process says whose ``streams``, ``ready``, ``mean``, ``lag`` and memory are these."""
    registry = CollectorRegistry()
    Gauge("affectstream_streams", ".", registry=registry).set(values["streams"])
    Gauge("affectstream_ready", ".", registry=registry).set(values["ready"])
    Gauge("affectstream_confidence_mean", ".", ["model"], registry=registry).labels("m").set(values["mean"])
    Counter("affectstream_rpcs", ".", ["method"], registry=registry).labels("A").inc(values["rpcs"])
    lag = Histogram("affectstream_loop_lag_seconds", ".", buckets=(1, 2), registry=registry)
    lag.observe(values["lag"], {"trace_id": f"{values['lag']}"})
    Gauge("process_resident_memory_bytes", ".", registry=registry).set(values["memory"])
    return told_of(registry)


ONE = told(streams=2, ready=1, mean=0.6, rpcs=5, lag=0.5, memory=10)
TWO = told(streams=3, ready=0, mean=0.8, rpcs=7, lag=1.5, memory=20)


def read(processes: dict[str, list[Told]], gone: list[Told]) -> dict[tuple[str, str], float]:
    return {
        (sample.name, sample.labels.get("le") or sample.labels.get("process") or ""): sample.value
        for family in merged(processes, gone)
        for sample in family.samples
    }


def test_metrics_of_several_are_those_of_one() -> None:
    seen = read({"1": ONE, "2": TWO}, [])
    assert seen["affectstream_streams", ""] == 5
    assert seen["affectstream_ready", ""] == 0
    assert seen["affectstream_confidence_mean", ""] == pytest.approx(0.7)
    assert seen["affectstream_rpcs_total", ""] == 12
    buckets = [seen["affectstream_loop_lag_seconds_bucket", le] for le in ("1.0", "2.0", "+Inf")]
    assert buckets == [1, 2, 2]
    assert seen["affectstream_loop_lag_seconds_sum", ""] == 2
    assert (seen["process_resident_memory_bytes", "1"], seen["process_resident_memory_bytes", "2"]) == (
        10,
        20,
    )


def test_what_a_process_counted_stays_counted_and_what_it_held_does_not() -> None:
    gone = sums(sums([], ONE), ONE)
    seen = read({"2": TWO}, gone)
    assert seen["affectstream_rpcs_total", ""] == 5 + 5 + 7
    assert seen["affectstream_loop_lag_seconds_count", ""] == 3
    assert seen["affectstream_streams", ""] == 3
    assert ("process_resident_memory_bytes", "1") not in seen


def test_exemplars_come_through() -> None:
    (lag,) = (one for one in merged({"1": ONE, "2": TWO}) if one.name == "affectstream_loop_lag_seconds")
    seen = [sample.exemplar.labels for sample in lag.samples if sample.exemplar is not None]
    assert seen == [{"trace_id": "0.5"}, {"trace_id": "1.5"}]


def test_what_is_taken_elsewhere_counts_and_is_not_told_again() -> None:
    told_audio: list[float] = []
    told_utterances: list[None] = []
    bucket, window = Bucket(1.0, 2.0, lambda: 0.0), Window(2, 60.0, lambda: 0.0)
    bucket.taken, window.taken = told_audio.append, lambda: told_utterances.append(None)
    bucket.take(0.5)
    bucket.take(2.5, own=False)
    window.take()
    window.take(own=False)
    assert (bucket.level, window.wait_s()) == (-1.0, 60.0)
    assert (told_audio, told_utterances) == ([0.5], [None])


@pytest.mark.parametrize(("given", "taken"), [("auto", 0), ("0", 0), ("3", 3)])
def test_how_many_processes(given: str, taken: int) -> None:
    assert load(environ={"AFFECTSTREAM_SERVER__PROCESSES": given}).server.processes == taken


@pytest.mark.parametrize("given", ["all", "-1", "257"])
def test_how_many_processes_there_cannot_be(given: str) -> None:
    with pytest.raises(SettingsError, match=rf"server\.processes: got '?{given}"):
        load(environ={"AFFECTSTREAM_SERVER__PROCESSES": given})


def test_a_number_of_processes_that_is_a_word_is_told_the_word_there_is() -> None:
    with pytest.raises(SettingsError, match="got 'all': expected a whole number, or auto"):
        load(environ={"AFFECTSTREAM_SERVER__PROCESSES": "all"})


def test_every_process_has_the_settings_that_were_given_and_no_secret_is_lost() -> None:
    given = {
        "server": {"address": "127.0.0.1:0", "max_connections": 101},
        "bus": {"url": "redis://:hidden@127.0.0.1:6379/0"},
        "triton": {"address": "127.0.0.1:8001", "models": ["b"], "languages": {"de": "b"}},
        "consent": {"refused_roles": ["AGENT"]},
        "tenants": {"acme": {"streams": 3}},
        "scoring": {"min_probability": {"sad": 0.3}},
    }
    settings = load(environ={}, overrides=given)
    told = json.loads(json.dumps(for_processes(settings, "127.0.0.1:50551", 2)))
    taken = Settings.model_validate(told)
    own = {"address": "127.0.0.1:50551", "reuse_port": True, "max_connections": 51}
    assert taken == settings.model_copy(update={"server": settings.server.model_copy(update=own)})
    assert taken.bus.url.get_secret_value() == "redis://:hidden@127.0.0.1:6379/0"
