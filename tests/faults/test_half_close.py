"""Half-close after `end_of_audio`, at any moment relative to all that is under way: never a final less."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable

import grpc
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.speech import sample_talk
from tests.support.wire import END, Request, config, finals, of_kind, running_server, stub
from tests.wire.resuming import Call, frames

SHORT, LONG = 60, 1_000
AT_ONCE = 20
DATA = sample_talk().tobytes()
CALLER = pb.EndpointingConfig(mode=pb.ENDPOINTING_MODE_CALLER)


@pytest.mark.fault("half-close")
@pytest.mark.timeout(600)
async def test_every_half_close_has_its_finals_and_ok(full: bool, figure: Callable[[str], None]) -> None:
    chance = random.Random(5)  # noqa: S311 - the same moments each time
    count = LONG if full else SHORT

    async def converse(service: object) -> bool:
        call = Call(service.StreamAffect(), config(endpointing=CALLER))  # type: ignore[attr-defined] # the stub
        begun = Request(control=pb.Control(speech_started=pb.CallerSpeechStarted()))
        ended = Request(control=pb.Control(speech_ended=pb.CallerSpeechEnded()))
        due = chance.randint(1, 3)
        requests = [config(endpointing=CALLER)]
        for number in range(due):
            at = 16_000 * (1 + number)
            requests += [begun, *frames(DATA, at, at + chance.randint(1_600, 16_000)), ended]
        await call.send(requests if chance.random() < 0.5 else requests[:-1])  # else it is open at the end
        await asyncio.sleep(chance.choice((0.0, 0.001, 0.005)))
        await call.send([END])
        await asyncio.sleep(chance.choice((0.0, 0.0, 0.001, 0.005)))
        await call.call.done_writing()
        return (
            await call.to_the_end() is grpc.StatusCode.OK
            and len(finals(call.events)) == len(of_kind(call.events, "speech_ended")) == due
            and call.events[-1].session_closed.reason == pb.CLOSE_REASON_END_OF_AUDIO
        )

    good = 0
    async with running_server() as server, stub(server.address) as service:
        for _ in range(count // AT_ONCE):
            good += sum(await asyncio.gather(*(converse(service) for _ in range(AT_ONCE))))
    figure(f"{good:,} of {count:,}")
    assert good == count
