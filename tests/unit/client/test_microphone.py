"""The microphone, with a sound library that plays what the test says."""

from __future__ import annotations

import sys
from types import ModuleType, TracebackType
from typing import Any, Self

import pytest

from affectstream.commands import InputError
from affectstream.commands.microphone import Microphone
from affectstream.config import AudioFormat


class FakeStream:
    """Delivers three blocks as soon as it is opened, from the calling thread."""

    closed = 0

    def __init__(self, *, samplerate: int, blocksize: int, channels: int, dtype: str, callback: Any) -> None:
        assert (samplerate, channels, dtype) == (48_000, 1, "int16")
        self._blocksize, self._callback = blocksize, callback

    def __enter__(self) -> Self:
        for number in range(3):
            self._callback(bytearray([number]) * (2 * self._blocksize), self._blocksize, None, None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        FakeStream.closed += 1


class PortAudioError(Exception):
    pass


@pytest.fixture
def sounddevice(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    module = ModuleType("sounddevice")
    vars(module).update(
        RawInputStream=FakeStream,
        PortAudioError=PortAudioError,
        check_input_settings=lambda **_: None,
    )
    monkeypatch.setitem(sys.modules, "sounddevice", module)
    return module


@pytest.mark.usefixtures("sounddevice")
async def test_blocks_come_in_order_until_it_is_stopped() -> None:
    microphone = Microphone(48_000)
    assert microphone.audio == AudioFormat(sample_rate_hz=48_000)
    assert microphone.live
    closed = FakeStream.closed
    frames = []
    async for frame in microphone.frames(960):
        frames.append(frame)
        if len(frames) == 3:
            microphone.stop()
    assert [(frame[0], len(frame)) for frame in frames] == [(0, 1_920), (1, 1_920), (2, 1_920)]
    assert FakeStream.closed == closed + 1, "the device is given back"


def test_a_device_that_cannot_be_opened_is_explained(sounddevice: ModuleType) -> None:
    def refuse(**_: object) -> None:
        raise PortAudioError("Error querying device -1")

    vars(sounddevice)["check_input_settings"] = refuse
    with pytest.raises(InputError, match="cannot be opened at 16000 Hz: Error querying device -1"):
        Microphone(16_000)
