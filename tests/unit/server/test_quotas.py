"""What a tenant may take: in virtual time, by its settings, and not for ever remembered."""

from __future__ import annotations

import asyncio

import pytest

from affectstream_server import quotas as quotas_module
from affectstream_server.auth import ANONYMOUS
from affectstream_server.blocks import Blocks
from affectstream_server.bucket import Bucket, Window
from affectstream_server.errors import LimitReached
from affectstream_server.quotas import Quota, Quotas, Tenant
from affectstream_server.real_time import RealTime
from affectstream_server.round_robin import RoundRobin
from affectstream_server.scoring.load import Load
from affectstream_server.settings import Layer, SettingsError, load
from affectstream_server.stream_quota import StreamQuota

AUTH = {"tokens_file": "tokens.yaml"}


class Clock:
    """Seconds, as told."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def quotas(clock: Clock | None = None, **sections: Layer) -> Quotas:
    return Quotas(load(environ={}, overrides=sections), clock or Clock())


def test_a_bucket_lets_a_burst_through_then_its_rate() -> None:
    clock = Clock()
    bucket = Bucket(rate=10.0, burst=20.0, clock=clock)
    bucket.take(20)
    assert bucket.wait_s() == 0
    bucket.take(5)
    assert bucket.wait_s() == pytest.approx(0.5)
    assert bucket.wait_s(0.5) == pytest.approx(1.5)
    clock.now += 0.5
    assert bucket.wait_s() == 0
    clock.now += 1_000
    assert (bucket.level, bucket.is_full) == (20, True), "nothing is saved up beyond the burst"


def test_a_window_holds_in_any_minute() -> None:
    clock = Clock()
    window = Window(3, 60.0, clock)
    for _ in range(3):
        assert window.wait_s() == 0
        window.take()
        clock.now += 10
    assert window.wait_s() == pytest.approx(30)
    clock.now += 30
    assert window.wait_s() == 0
    window.take()
    assert window.wait_s() == pytest.approx(10)
    clock.now += 61
    assert window.is_empty


def test_streams_and_analyses_at_once() -> None:
    tenant = Tenant("t", Quota(streams=2, analyses=1), Clock())
    tenant.open_stream()
    tenant.open_stream()
    with pytest.raises(LimitReached) as caught:
        tenant.open_stream()
    error = caught.value
    assert (error.reason, error.field, error.value, error.limit) == ("TENANT_STREAMS", "streams", "2", "2")
    assert error.retry_after_s == 1.0
    tenant.close_stream()
    tenant.open_stream()
    with tenant.analysis(), pytest.raises(LimitReached, match="analyses") as caught, tenant.analysis():
        pass
    assert caught.value.reason == "TENANT_ANALYSES"
    with tenant.analysis():
        assert tenant.analyses == 1


def test_analyses_use_audio_and_utterances_and_are_told_when_to_come_again() -> None:
    clock = Clock()
    tenant = Tenant("t", Quota(audio_rate=1.0, utterances_per_minute=2), clock)
    with tenant.analysis():
        tenant.take_audio(6 * 16_000)
    with pytest.raises(LimitReached) as caught, tenant.analysis():
        pass
    assert caught.value.reason == "TENANT_AUDIO_RATE"
    assert caught.value.retry_after_s == pytest.approx(5)
    clock.now += 5
    with tenant.analysis():
        pass
    with pytest.raises(LimitReached) as caught, tenant.analysis():
        pass
    assert caught.value.reason == "TENANT_UTTERANCES"
    assert caught.value.retry_after_s == pytest.approx(55)


def test_settings_give_all_tenants_quotas_and_some_their_own() -> None:
    every = {"streams": 10, "audio_rate": 20.5, "utterances_per_minute": 300}
    found = quotas(auth=AUTH, quotas=every, tenants={"acme": {"streams": 50, "audio_rate": 0, "weight": 4}})
    assert found.quota_of("other") == Quota(10, 51, 20.5, 300, 1.0)
    assert found.quota_of("acme") == Quota(50, 51, 0, 300, 4.0)


def test_no_tenant_gets_all_of_the_server_but_the_only_one() -> None:
    server = {"max_streams": 100, "max_analyses": 1}
    found = quotas(auth=AUTH, server=server, tenants={"acme": {"streams": 5_000}})
    assert found.quota_of("acme").streams == 80
    assert found.quota_of("other").analyses == 1
    assert quotas(server=server).quota_of(ANONYMOUS.tenant) == Quota(), "without tokens all are one"


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"quotas": {"stream": 1}}, "quotas.stream: unknown setting; known here: streams"),
        ({"tenants": {"acme": {"stream": 1}}}, "tenants.acme.stream: unknown setting; known here: streams"),
        ({"tenants": {"acme": {"weight": 0}}}, "tenants.acme.weight: got 0"),
        ({"quotas": {"share": 1.5}}, "quotas.share: got 1.5"),
        ({"tenants": {"a b": {}}}, "got 'a b', expected 1 to 64 letters"),
    ],
)
def test_a_wrong_key_or_value_is_named(section: dict[str, dict[str, object]], key: str) -> None:
    with pytest.raises(SettingsError, match=key):
        load(environ={}, overrides=section)


def test_the_environment_gives_a_tenant_its_quota() -> None:
    settings = load(
        environ={"AFFECTSTREAM_TENANTS__ACME": "{streams: 7}", "AFFECTSTREAM_QUOTAS__STREAMS": "3"}
    )
    found = Quotas(settings)
    assert (found.quota_of("acme").streams, found.quota_of("other").streams) == (7, 3)


def test_idle_tenants_are_forgotten_and_others_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quotas_module, "_MOST_TENANTS", 3)
    clock = Clock()
    found = quotas(clock, quotas={"audio_rate": 1, "utterances_per_minute": 5})
    busy, owing, idle = (found.tenant(name) for name in ("busy", "owing", "idle"))
    busy.open_stream()
    owing.take_audio(160_000)
    found.tenant("new")
    assert len(found) == 3
    assert (found.tenant("busy"), found.tenant("owing")) == (busy, owing)
    assert found.tenant("idle") is not idle


async def waited(stream: StreamQuota, samples: int, channels: int) -> bool:
    """It had to wait after so much audio."""
    return not stream.take(samples, channels) and await stream.room()


async def test_a_bulk_stream_leaves_room_to_one_at_real_time() -> None:
    clock = Clock()
    tenant = Tenant("t", Quota(audio_rate=10.0), clock)
    share, real_time = Load(4).share(), RealTime(0, clock)
    bulk, live = (StreamQuota(tenant, share, real_time, clock) for _ in range(2))
    warnings: list[str] = []
    bulk.warn = lambda code, *_, **__: warnings.append(code)
    assert not await waited(live, 320, 1)
    assert not await waited(bulk, 8 * 16_000, 1), "its burst"
    reading = asyncio.create_task(waited(bulk, 18 * 16_000, 1))
    await asyncio.sleep(0.01)
    assert not reading.done()
    assert warnings == ["QUOTA_AUDIO_RATE"]
    clock.now += 0.02
    assert not await waited(live, 640, 1), "what remains of the burst is for it"
    clock.now += 10
    assert not await waited(live, 960, 1)
    reading.cancel()
    await asyncio.wait([reading])


def test_batches_take_from_each_tenant_in_turn() -> None:
    waiting = RoundRobin[str]()
    for number in range(6):
        waiting.add("flood", f"b{number}")
    waiting.add("calm", "a0")
    assert set(waiting.take(2)) == {"b0", "a0"}
    waiting.add("calm", "a1")
    assert waiting.take(3) == ["b1", "a1", "b2"]
    waiting.remove("flood", lambda entry: entry == "b4")
    assert waiting.take(10) == ["b3", "b5"]
    assert not waiting
    assert waiting.take(3) == []


def test_many_tenants_with_one_entry_do_not_starve_one_with_many() -> None:
    waiting = RoundRobin[str]()
    for number in range(20):
        waiting.add("many", f"m{number}")
    served: list[str] = []
    for turn in range(20):
        for number in range(4):
            waiting.add(f"one {turn} {number}", "x")
        served += waiting.take(4)
    assert sum(entry.startswith("m") for entry in served) >= 10


def test_real_time_goes_before_what_is_ahead_of_it_and_both_go_on() -> None:
    clock = Clock()
    waiting = Blocks[str](RealTime(0, clock))
    for number in range(200):
        waiting.add("bulk", f"b{number}", ahead=True)
    assert len(waiting.take(64)) == 64, "alone it has all of a batch"
    waiting.add("calm", "a0", ahead=False)
    batch = waiting.take(64)
    assert batch[0] == "a0"
    assert len(batch) == 9, "a short batch, as more is expected at real time"
    for number in range(100):
        waiting.add("calm", f"a{number}", ahead=False)
    batch = waiting.take(64)
    assert sum(entry.startswith("b") for entry in batch) == 1, "never none of it"
    while any(entry.startswith("a") for entry in waiting.take(64)):
        pass
    clock.now += 1.1
    assert len(waiting.take(64)) == 64
    waiting.remove("bulk", lambda _: True)
    assert not waiting


def test_what_can_wait_is_bounded_while_somebody_talks() -> None:
    clock = Clock()
    real_time = RealTime(10.0, clock)
    assert not any(real_time.take(100.0) for _ in range(5)), "nobody talks"
    real_time.seen()
    assert real_time.take(10.0) == 0, "its burst"
    assert [real_time.take(5.0), real_time.take(5.0)] == pytest.approx([0.5, 1.0]), "one after the other"
    clock.now += 1.0
    assert real_time.take(100.0) == 0, "nobody has talked for a second"
    assert RealTime(0.0, clock).take(1e9) == 0


async def test_a_stream_is_ahead_by_its_clock_and_not_by_its_backlog() -> None:
    clock = Clock()
    stream = StreamQuota(Tenant("t", Quota(), clock), Load(4).share(), RealTime(0, clock), clock)
    await waited(stream, 8_000, 1)
    ahead = [stream.is_ahead]
    await waited(stream, 2 * 24_000, 2)  # 1.5 s of each of two channels at once
    ahead.append(stream.is_ahead)
    clock.now += 10
    await waited(stream, 10 * 16_000, 1)
    assert [*ahead, stream.is_ahead] == [False, True, False]
