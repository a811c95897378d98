"""What a server says of itself, and how it starts."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from affectstream.contract import EMOTIONS, LIMITS
from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import END, config, converse, of_kind, running_server, stream_talk, stub


async def test_info_names_model_labels_limits_and_features(server_address: str) -> None:
    async with stub(server_address) as service:
        info = await service.GetServerInfo(pb.GetServerInfoRequest())
    model = info.models[0]
    assert tuple(model.labels) == EMOTIONS[:4]
    assert list(model.dimensions) == ["arousal"]
    assert len(model.digest) == 64
    limits = {limit.name: limit.value for limit in info.limits.limits}
    assert limits["message_bytes"] == LIMITS.message_bytes
    assert limits["transcript_bytes"] == LIMITS.transcript_bytes
    assert limits["streams"] == 1_000
    assert pb.FEATURE_STREAM in info.features
    assert pb.FEATURE_WATCH in info.features
    assert limits["watchers_per_session"] == LIMITS.watchers_per_session
    assert pb.AUDIO_ENCODING_OGG_OPUS in info.encodings


async def test_first_event_tells_what_is_in_force(server_address: str) -> None:
    setup = config(
        session_id="call-7",
        labels={"queue": "billing"},
        endpointing=pb.EndpointingConfig(hangover_ms=400, min_speech_ms=0),
        outputs=pb.OutputConfig(embedding=True, progress_interval_ms=250),
    )
    events = await converse(server_address, [setup, END])
    started = events[0].session_started
    assert events[0].session_id == "call-7"
    assert started.labels == {"queue": "billing"}
    assert (started.endpointing.hangover_ms, started.endpointing.min_speech_ms) == (400, 0)
    assert started.endpointing.stall_ms == 500, "defaults are filled in"
    assert started.outputs.progress_interval_ms == 250
    assert started.next_sequence == 2
    assert started.session_epoch == 1


async def test_unnamed_sessions_get_ids_that_nobody_guesses(server_address: str) -> None:
    ids = {(await converse(server_address, [config(), END]))[0].session_id for _ in range(3)}
    assert len(ids) == 3
    assert all(len(session_id) >= 32 for session_id in ids)


async def test_progress_never_goes_back_and_never_passes_what_was_heard(server_address: str) -> None:
    events = await stream_talk(
        server_address, sample_talk(), outputs=pb.OutputConfig(progress_interval_ms=100)
    )
    progress = of_kind(events, "progress")
    received = [p.received_until_samples for p in progress]
    final = [p.final_until_samples for p in progress]
    assert received == sorted(received)
    assert final == sorted(final)
    assert all(f <= r for f, r in zip(final, received, strict=True))
    assert received[-1] == len(sample_talk())


async def test_embedding_comes_only_when_asked_for(server_address: str) -> None:
    part = sample_talk()[: 16_000 * 8]
    asked = await stream_talk(server_address, part, outputs=pb.OutputConfig(embedding=True))
    unasked = await stream_talk(server_address, part)
    size = asked[0].session_started.model.embedding_size
    assert size > 0
    assert {len(a.embedding) for a in of_kind(asked, "affect") if a.emotions} == {size}
    assert {len(a.embedding) for a in of_kind(unasked, "affect")} == {0}


async def test_short_speech_is_declared_and_not_scored() -> None:
    async with running_server({"endpointing": {"min_utterance_ms": 5_000}}) as server:
        final = of_kind(await stream_talk(server.address, sample_talk()[: 16_000 * 8]), "affect")[0]
    assert final.status == pb.AFFECT_STATUS_INSUFFICIENT_SPEECH
    assert not final.emotions
    assert not final.HasField("dimensions")
    assert "min_utterance_ms" in final.status_detail


async def test_late_score_is_said_to_be_late() -> None:
    async with running_server({"scoring": {"deadline_ms": 10}}) as server:
        pool = server.pipeline.router.default._pool._threads  # type: ignore[attr-defined] # keep its one thread busy
        busy = [pool.submit(__import__("time").sleep, 0.5) for _ in range(4)]
        events = await stream_talk(server.address, sample_talk()[: 16_000 * 8])
        assert {a.status for a in of_kind(events, "affect")} == {pb.AFFECT_STATUS_DEADLINE_EXCEEDED}
        assert len(of_kind(events, "affect")) == len(of_kind(events, "speech_ended"))
        for job in busy:
            job.cancel()


async def test_full_queue_is_said_to_be_full() -> None:
    async with running_server({"scoring": {"max_pending": 1}}) as server:
        pool = server.pipeline.router.default._pool._threads  # type: ignore[attr-defined] # keep its one thread busy
        pool.submit(__import__("time").sleep, 1.0)
        talk = sample_talk()[: 16_000 * 10]
        both = await asyncio.gather(stream_talk(server.address, talk), stream_talk(server.address, talk))
    statuses = [a.status for events in both for a in of_kind(events, "affect")]
    assert pb.AFFECT_STATUS_OVERLOADED in statuses
    assert all(len(of_kind(e, "affect")) == len(of_kind(e, "speech_ended")) for e in both)


async def test_long_speech_is_cut_and_continued(speech: Path) -> None:
    from tests.support.speech import talks

    talk = talks(speech)[0].samples
    async with running_server({"endpointing": {"max_utterance_ms": 1_000}}) as server:
        final = of_kind(await stream_talk(server.address, talk), "affect")
    cut = [f for f in final if f.trigger == pb.TRIGGER_MAX_DURATION]
    assert cut
    assert all(f.quality.truncated for f in cut)
    by_id = {f.utterance_id: f for f in final}
    continued = [f for f in final if f.continues_utterance_id]
    assert len(continued) == len(cut)
    assert all(by_id[f.continues_utterance_id].audio_end == f.audio_start for f in continued)


async def test_health_knows_readiness_from_liveness(server_address: str) -> None:
    serving = health_pb2.HealthCheckResponse.SERVING
    async with grpc.aio.insecure_channel(server_address) as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        for name in ("", "affectstream.v1.AffectService", "liveness"):
            answer = await health.Check(health_pb2.HealthCheckRequest(service=name))
            assert answer.status == serving
        with pytest.raises(grpc.aio.AioRpcError):
            await health.Check(health_pb2.HealthCheckRequest(service="nobody"))


async def test_reflection_lists_the_service(server_address: str) -> None:
    async with grpc.aio.insecure_channel(server_address) as channel:
        service: Any = reflection_pb2_grpc.ServerReflectionStub(channel)  # type: ignore[arg-type] # stubs know sync
        call = service.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]))
        async for answer in call:
            names = {service.name for service in answer.list_services_response.service}
            assert "affectstream.v1.AffectService" in names
            break
        call.cancel()


def serve(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    clean = {k: v for k, v in os.environ.items() if not k.startswith("AFFECTSTREAM_")}
    return subprocess.run(
        [sys.executable, "-m", "affectstream_server", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
        env=clean | environment,
    )


@pytest.mark.fault("settings typo")
def test_misspelt_setting_refuses_to_start_and_is_named(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("endpointing:\n  hangover: 300\n")
    done = serve("--config", str(file))
    assert done.returncode == 2
    assert "endpointing.hangover" in done.stderr
    assert "hangover_ms" in done.stderr, "says what is known"
    assert "Traceback" not in done.stderr
    done = serve(AFFECTSTREAM_ENDPOINTING__HANGOVER="300")
    assert done.returncode == 2
    assert "hangover" in done.stderr


async def test_taken_port_and_bad_address_are_named(server_address: str) -> None:
    taken = await asyncio.to_thread(serve, "--address", server_address)
    assert taken.returncode == 1
    assert server_address in taken.stderr
    bad = await asyncio.to_thread(serve, "--address", "nowhere")
    assert bad.returncode == 1
    assert "'nowhere'" in bad.stderr
    assert "Traceback" not in taken.stderr + bad.stderr


def test_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = serve("--address", "127.0.0.1:0", AFFECTSTREAM_SCORING__MODEL=str(tmp_path))
    assert done.returncode == 1
    assert str(tmp_path / "model.onnx") in done.stderr
    (tmp_path / "model.onnx").write_bytes(b"garbage")
    done = serve("--address", "127.0.0.1:0", AFFECTSTREAM_SCORING__MODEL=str(tmp_path))
    assert done.returncode == 1
    assert "not a model" in done.stderr
    assert "Traceback" not in done.stderr


def test_settings_are_shown_with_their_source_merged(tmp_path: Path) -> None:
    file = tmp_path / "settings.yaml"
    file.write_text("endpointing:\n  hangover_ms: 300\n  stall_ms: 700\n")
    done = serve("--check", "--config", str(file), AFFECTSTREAM_ENDPOINTING__STALL_MS="900")
    assert done.returncode == 0
    assert "hangover_ms: 300" in done.stdout
    assert "stall_ms: 900" in done.stdout, "the environment wins over the file"
