"""Nothing is kept: marks go through a server that logs all it can, and are found nowhere."""

from __future__ import annotations

import asyncio
import re
import resource
import signal
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
import numpy as np
import psutil
import pytest
from numpy.typing import NDArray

from affectstream.contract import EMOTIONS
from affectstream.v1 import affect_pb2 as pb
from affectstream_server.auth import tokens
from tests.support.marks import MarkedAudio, bytes_mark, files_in, found, text_mark, written_by
from tests.support.metrics import read
from tests.support.opus import packets
from tests.support.otlp import Receiver, receiver
from tests.support.process import start_process
from tests.support.speech import sample_talk
from tests.support.wire import END, Request, audio, chunks, config
from tests.unit.tone.policies import rule, source
from tests.wire.visits import Visits, until_closed

SECOND: Final = 16_000
AUDIO: Final = MarkedAudio.make(20_261_121)
SPOKEN: Final = {name: f"mark-{name}-7f3a9c51d2" for name in ("person", "label", "transcript", "spoken-id")}
"""What callers say of people; 'spoken-id' is no session id, since it has a blank."""
OWN_WORDS: Final = {name: f"mark-{name}-4be8d01f66" for name in ("turn", "model", "key", "session")}
"""A caller's own names, which an error may tell back to that caller."""
STOLEN_RESUME_TOKEN: Final = b"\0\0\0\1" + bytes(range(160, 176))
FORGED_TOKEN: Final = tokens.PREFIX + "mark-forged-" + 31 * "x"


def marked_talk() -> NDArray[np.int16]:
    """Two utterances of the talk, with the mark in speech and in silence, every quarter of a second."""
    talk = sample_talk()[: 7 * SECOND].copy()
    for start in range(1_000, len(talk) - len(AUDIO.int16), SECOND // 4):
        talk[start : start + len(AUDIO.int16)] = AUDIO.int16
    return talk


TALK: Final = marked_talk()
OPUS: Final = packets(TALK)


def introduced(*arguments: Any, **fields: Any) -> Request:
    """A config with people in it."""
    analysed = pb.ChannelConfig(index=0, analyze=True, participant_id=SPOKEN["person"])
    told = {"labels": {"who": SPOKEN["label"]}, "channels": [analysed]}
    return config(*arguments, **(told | fields))


def good_conversations() -> Iterator[tuple[Request, ...]]:
    """The talk in every form."""
    forms = {
        pb.AUDIO_ENCODING_LINEAR16: (TALK.tobytes(), 640),
        pb.AUDIO_ENCODING_FLOAT32: ((TALK / np.float32(32_768)).astype("<f4").tobytes(), 1_280),
        pb.AUDIO_ENCODING_MULAW: (np.tile(AUDIO.codes, 500).tobytes(), 320),
    }
    for encoding, (data, size) in forms.items():
        outputs = pb.OutputConfig(embedding=True, provisional_interval_ms=250)
        yield introduced(encoding, outputs=outputs), *chunks(data, size), END
    yield introduced(pb.AUDIO_ENCODING_OPUS_PACKETS), *map(audio, OPUS), END
    withdrawn = Request(control=pb.Control(control_id="c", consent_withdrawn=pb.ConsentWithdrawn()))
    yield introduced(session_id=OWN_WORDS["session"]), *chunks(TALK.tobytes()), withdrawn, END
    turns = [pb.Control(turn_ended=pb.TurnEnded(turn_id=OWN_WORDS["turn"]))]
    yield introduced(), *chunks(TALK[:SECOND].tobytes()), *(Request(control=turn) for turn in turns), END


def bad_conversations() -> Iterator[tuple[Request, ...]]:
    """Whatever is refused, with marks in it."""
    mark, person = AUDIO.int16.tobytes(), SPOKEN["person"]
    nan = np.concatenate([AUDIO.float32, np.array([np.nan], np.float32)]).astype("<f4").tobytes()
    yield (audio(mark),)
    yield introduced(), audio(mark + b"\0")
    yield introduced(), audio(mark * 300)
    yield introduced(), audio(mark * 600)
    yield introduced(pb.AUDIO_ENCODING_FLOAT32), audio(nan)
    yield introduced(pb.AUDIO_ENCODING_OGG_OPUS), audio(mark * 8)
    yield introduced(pb.AUDIO_ENCODING_OPUS_PACKETS), audio(mark)
    yield introduced(pb.AUDIO_ENCODING_OPUS_PACKETS), *map(audio, OPUS[:50]), audio(b"\xff" + OPUS[50]), END
    yield introduced(), END, audio(mark)
    yield introduced(session_id=SPOKEN["spoken-id"] + " "), END
    yield introduced(language_code=person * 9), END
    yield introduced(labels={"who": person * 9}), END
    yield introduced(labels={OWN_WORDS["key"] * 9: ""}), END
    yield introduced(model=OWN_WORDS["model"]), END
    yield introduced(channels=[pb.ChannelConfig(analyze=True, participant_id=person * 9)]), END
    role = pb.SUBJECT_ROLE_EMPLOYEE
    yield (introduced(channels=[pb.ChannelConfig(analyze=True, participant_id=person, subject_role=role)]),)
    said = pb.Transcript(text=SPOKEN["transcript"])
    yield introduced(), Request(control=pb.Control(transcript=said)), END
    resume = pb.Resume(session_id="nobody", resume_token=STOLEN_RESUME_TOKEN)
    yield (introduced(resumable=True, resume=resume),)


async def call_otherwise(visits: Visits) -> None:
    """A whole utterance, one that is refused, watching what cannot be, and bytes that are no message."""
    form = pb.AudioFormat(encoding=pb.AUDIO_ENCODING_LINEAR16, sample_rate_hz=SECOND)
    for data in (TALK[: 4 * SECOND].tobytes(), AUDIO.int16.tobytes() + b"\0"):
        request = pb.AnalyzeUtteranceRequest(audio=form, data=data, utterance_id=SPOKEN["person"][:20])
        async with visits.call("AnalyzeUtterance", request):
            pass
    blank = SPOKEN["spoken-id"] + " "
    for method, refused in (
        ("WatchAffect", pb.WatchAffectRequest(session_id=blank)),
        ("PurgeSession", pb.PurgeSessionRequest(session_id=blank)),
    ):
        async with visits.call(method, refused):
            pass
    async with grpc.aio.insecure_channel(visits.address) as channel:
        raw: Any = channel.unary_unary("/affectstream.v1.AffectService/AnalyzeUtterance")
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await raw(b"\xff" + AUDIO.int16.tobytes(), metadata=visits.metadata)
    visits.told.append(repr(caught.value).encode())


async def lose_and_resume(visits: Visits) -> list[bytes]:
    """A session over two streams, and one that is lost and left. Returns its secrets."""
    secrets: list[bytes] = []
    half = len(TALK) // 2
    first = introduced(resumable=True, session_id="resumed")
    async with visits.call() as call:
        await visits.send(call, [first, *chunks(TALK[:half].tobytes())])
        started = (await call.read()).event.session_started
        secrets.append(started.resume_token)
        call.cancel()
    first.config.resume.CopyFrom(
        pb.Resume(session_id="resumed", resume_token=secrets[0], audio_offset_samples=half)
    )
    async with visits.call() as call:
        await visits.send(call, [first, *chunks(TALK[half:].tobytes())])
        started = (await call.read()).event.session_started
        assert started.resumed
        secrets.append(started.resume_token)
        call.cancel()
    return secrets


def advice_in(events: Sequence[pb.SessionEvent]) -> set[bytes]:
    """Texts and rules of the guidance that was given."""
    said = [getattr(event, kind).guidance for event in events for kind in ("affect", "turn_affect")]
    return {
        text.encode() for advice in said for text in (advice.text, f'rule: "{advice.rule}"') if advice.text
    }


def numbers_in(events: Sequence[pb.SessionEvent]) -> list[float]:
    """What was heard: every probability, and arousal."""
    affects = [event.affect for event in events if event.HasField("affect")]
    numbers = [emotion.probability for affect in affects for emotion in affect.emotions]
    numbers += [affect.dimensions.arousal for affect in affects if affect.HasField("dimensions")]
    return [number for number in numbers if 0.01 < number < 0.99]


def values_in(events: Sequence[pb.SessionEvent]) -> set[bytes]:
    """How a log would write it: four digits of each."""
    return {f"{number:.6f}"[:6].encode() for number in numbers_in(events)}


def _telling_all(spans: Receiver) -> dict[str, str]:
    """Telemetry with all that is on without being asked for."""
    return {
        "AFFECTSTREAM_TELEMETRY__TRACES": spans.url,
        "AFFECTSTREAM_TELEMETRY__METRICS": "true",
        "AFFECTSTREAM_TELEMETRY__METRICS_ADDRESS": "127.0.0.1:0",
        "AFFECTSTREAM_LOGGING__FORMAT": "json",
        "AFFECTSTREAM_LOGGING__BURST": "0",
    }


def _metrics_address(log: Path) -> str:
    found = re.search(r"metrics at http://(\S+)/metrics", log.read_text())
    assert found is not None
    return found[1]


@pytest.mark.fault("planted")
@pytest.mark.timeout(120)
@pytest.mark.parametrize("telemetry", [False, True])
async def test_marked_audio_and_marked_secrets_are_found_nowhere(tmp_path: Path, telemetry: bool) -> None:
    with receiver() as spans:
        await _look_everywhere(tmp_path, spans if telemetry else None)


async def _look_everywhere(tmp_path: Path, spans: Receiver | None) -> None:
    house = tmp_path / "house"
    places = {name: house / name for name in ("cwd", "TMPDIR", "HOME")}
    for folder in places.values():
        folder.mkdir(parents=True)
    token, line = tokens.make("acme", "agent", None)
    (tmp_path / "tokens.yaml").write_text(line)
    policy = tmp_path / "policy.yaml"
    policy.write_text(source(rule("whatever-it-is", {"value": "arousal", "enter_above": 0.0})))
    log = tmp_path / "log"
    soft, most = resource.getrlimit(resource.RLIMIT_CORE)
    resource.setrlimit(resource.RLIMIT_CORE, (most, most))
    process, address = start_process(
        "--tokens",
        str(tmp_path / "tokens.yaml"),
        cwd=places["cwd"],
        log=log,
        environment={
            "TMPDIR": str(places["TMPDIR"]),
            "HOME": str(places["HOME"]),
            "XDG_CACHE_HOME": str(places["HOME"] / "cache"),
            "AFFECTSTREAM_LOGGING__LEVEL": "DEBUG",
            "AFFECTSTREAM_GUIDANCE__POLICY": str(policy),
            "AFFECTSTREAM_SCORING__MIN_PROBABILITY": "{neutral: 0, happy: 0, sad: 0, angry: 0}",
            "AFFECTSTREAM_SCORING__MIN_SPEECH_MS": "0",
            "AFFECTSTREAM_SCORING__MIN_SNR_DB": "-20",
            "AFFECTSTREAM_SERVER__DRAIN_S": "2",
            **({} if spans is None else _telling_all(spans)),
        },
    )
    resource.setrlimit(resource.RLIMIT_CORE, (soft, most))
    try:
        visits = Visits(address, (("authorization", f"Bearer {token}"),))
        for requests in good_conversations():
            assert (await visits.converse(*requests))[-1].HasField("session_closed")
        assert set(visits.codes) == {grpc.StatusCode.OK}
        for requests in bad_conversations():
            await visits.converse(*requests)
        assert len(set(visits.codes)) > 3
        await call_otherwise(visits)
        resume_tokens = await lose_and_resume(visits)
        forger = Visits(address, (("authorization", f"Bearer {FORGED_TOKEN}"),))
        await forger.converse(introduced(), END)
        assert forger.codes == [grpc.StatusCode.UNAUTHENTICATED]
        async with visits.call() as call:
            await visits.send(call, [introduced(resumable=True), *chunks(TALK[: 2 * SECOND].tobytes())])
            resume_tokens.append((await call.read()).event.session_started.resume_token)
            open_files = written_by(process.pid)
            server = psutil.Process(process.pid)
            lines, core_bytes = server.net_connections(), server.rlimit(psutil.RLIMIT_CORE)[0]
            kept = files_in(house)
            if spans is not None:
                kept["metrics"] = read(_metrics_address(log)).encode()
            shared = _shared()
            process.send_signal(signal.SIGTERM)
            visits.events += await until_closed(call)
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        stdout, _ = process.communicate()
        stderr = log.read_text()

    kept |= files_in(house) | {"stdout": stdout.encode(), "stderr": stderr.encode()}
    if spans is not None:
        kept["spans"] = b"\n".join(spans.bodies)
    shared |= _shared()
    told = {f"status {n}": text for n, text in enumerate(visits.told + forger.told)}
    secret = [
        AUDIO.mark(),
        bytes_mark("Opus packet", OPUS[100]),
        text_mark("token", token),
        text_mark("forged token", FORGED_TOKEN),
        bytes_mark("stolen resume token", STOLEN_RESUME_TOKEN),
        *(bytes_mark(f"resume token {n}", mark) for n, mark in enumerate(resume_tokens)),
        *(text_mark(name, word) for name, word in SPOKEN.items()),
    ]
    own = [text_mark(name, word) for name, word in OWN_WORDS.items()]
    sent = {"sent": b"\n".join(visits.sent + forger.sent)}
    never_sent = len(resume_tokens) - 1
    assert len(found([*secret, *own], sent)) == len(secret) + len(own) - never_sent, "the marks were there"

    assert found(secret, kept | told | shared) == []
    assert found(own, kept | shared) == []
    assert open_files == {str(log)}, "nothing else is open for writing, or shared as memory"
    assert set(kept) - {"metrics", "spans"} == {"stdout", "stderr"}, "and none was made"
    assert core_bytes == 0, "nor would be in a crash"
    port = int(address.rpartition(":")[2])
    if spans is None:
        assert {line.laddr.port for line in lines} == {port}, "it called nobody"
    else:
        told_of = {span.name for span in spans.spans}
        assert {"affectstream.stream", "affectstream.utterance", "affectstream.analysis"} <= told_of
        assert b"affectstream_utterances_total" in kept["metrics"]
        numbers = [struct.pack("<d", number) for number in numbers_in(visits.events)]
        assert not [number for number in numbers if number in kept["spans"]], "nor as numbers"
    assert "draining" in stderr
    assert "calls refused" in stderr
    assert "DEBUG" in stderr, "it logged all it could"
    values = values_in(visits.events)
    assert len(values) > 20
    advice = advice_in(visits.events)
    assert advice
    for place, content in (kept | told).items():
        # Sums of durations are numbers like any others: in metrics it is the labels that would tell.
        secrets = advice if place == "metrics" else values | advice
        assert not [value for value in secrets if value in content], place
        assert not re.search(rb"\b(" + "|".join(EMOTIONS).encode() + rb")\b", content), place


def _shared() -> dict[str, bytes]:
    """Of everybody on this machine."""
    return files_in(Path("/dev/shm"))  # noqa: S108 - it is looked at
