"""Recordings and raw PCM, as a user's files and pipes give them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from affectstream.commands import InputError
from affectstream.commands.sources import (
    FileSource,
    Source,
    StdinSource,
    check_channels,
    check_rate,
    encode,
)
from affectstream.config import AudioFormat
from affectstream.enums import AudioEncoding

RAMP: NDArray[np.int16] = np.arange(-32768, 32768, 7, dtype=np.int32).astype(np.int16)


async def everything(source: Source, frame_samples: int = 1_000) -> list[bytes]:
    return [frame async for frame in source.frames(frame_samples)]


@pytest.mark.parametrize(("suffix", "subtype"), [("wav", "PCM_16"), ("flac", "PCM_16")])
async def test_sixteen_bits_arrive_bit_for_bit(tmp_path: Path, suffix: str, subtype: str) -> None:
    path = tmp_path / f"ramp.{suffix}"
    soundfile.write(path, RAMP, 16_000, subtype=subtype)
    source = FileSource(path, None)
    frames = await everything(source)
    assert b"".join(frames) == RAMP.astype("<i2").tobytes()
    assert {len(frame) for frame in frames[:-1]} == {2_000}
    assert source.audio == AudioFormat()
    assert source.duration_s == len(RAMP) / 16_000


async def test_floating_point_stays_floating_point_unless_told_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "loud.wav"
    samples = np.array([[0.5, -1.25], [1.5, 0.0]], np.float32)
    soundfile.write(path, samples, 44_100, subtype="FLOAT")
    source = FileSource(path, None)
    assert (source.audio.encoding, source.audio.channel_count) == (AudioEncoding.FLOAT32, 2)
    assert b"".join(await everything(source)) == samples.astype("<f4").tobytes()
    told = FileSource(path, AudioEncoding.LINEAR16)
    pcm = np.frombuffer(b"".join(await everything(told)), "<i2")
    assert pcm.tolist() == [16384, -32768, 32767, 0], "beyond full scale is clipped, not wrapped"


async def test_ogg_is_read(tmp_path: Path) -> None:
    path = tmp_path / "tone.ogg"
    tone = (0.5 * np.sin(np.arange(24_000) * 0.05)).astype(np.float32)
    soundfile.write(path, tone, 24_000, format="OGG", subtype="VORBIS")
    source = FileSource(path, None)
    assert (source.audio.sample_rate_hz, source.audio.encoding) == (24_000, AudioEncoding.LINEAR16)
    assert sum(map(len, await everything(source))) == 48_000


@pytest.mark.parametrize(
    ("encoding", "codes"),
    # G.711: silence, full scale and a quiet sample of each law.
    [(AudioEncoding.MULAW, [0xFF, 0x80, 0x00, 0xF2]), (AudioEncoding.ALAW, [0xD5, 0xAA, 0x2A, 0xD3])],
)
def test_companding_follows_the_standard(encoding: AudioEncoding, codes: list[int]) -> None:
    block = (np.array([[0], [32767], [-32768], [100]]) / 32768).astype(np.float32)
    assert list(encode(block, AudioFormat(encoding=encoding, sample_rate_hz=8_000))) == codes


@pytest.mark.parametrize(
    ("content", "says"),
    [(None, "no such file"), (b"not a recording at all", "not a recording"), (b"", "not a recording")],
)
def test_an_unreadable_file_is_named(tmp_path: Path, content: bytes | None, says: str) -> None:
    path = tmp_path / "talk.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=says) as error:
        FileSource(path, None)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_a_folder_is_no_recording(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="directory"):
        FileSource(tmp_path, None)


def test_a_recording_without_audio_is_said_to_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "empty.wav"
    soundfile.write(path, np.zeros(0, np.int16), 16_000)
    with pytest.raises(InputError, match="holds no audio"):
        FileSource(path, None)


async def test_a_damaged_recording_says_where(tmp_path: Path) -> None:
    path = tmp_path / "talk.flac"
    soundfile.write(path, np.random.default_rng(1).integers(-9000, 9000, 64_000, np.int16), 16_000)
    content = bytearray(path.read_bytes())
    content[len(content) // 2 : len(content) // 2 + 4000] = bytes(4000)
    path.write_bytes(content)
    source = FileSource(path, None)
    with pytest.raises(InputError, match=r"talk\.flac is damaged at \d"):
        await everything(source)


@pytest.mark.parametrize("rate_hz", [7_999, 48_001, 96_000])
def test_rates_out_of_range_say_field_value_limit_and_what_to_do(tmp_path: Path, rate_hz: int) -> None:
    path = tmp_path / "hifi.wav"
    soundfile.write(path, RAMP, rate_hz)
    with pytest.raises(InputError) as error:
        FileSource(path, None)
    for part in ("sample_rate_hz", str(rate_hz), "8000..48000", "sox"):
        assert part in str(error.value)


@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 48_000])
def test_rates_in_range_pass(rate_hz: int) -> None:
    check_rate(rate_hz, "x")


@pytest.mark.parametrize(
    ("count", "chosen", "says"),
    [
        (2, [], "say which"),
        (2, [0, 2], "0..1"),
        (1, [1], "0..0"),
        (2, [-1], "0..1"),
        (9, [0], "channel_count is 9"),
    ],
)
def test_channels_are_checked(count: int, chosen: list[int], says: str) -> None:
    with pytest.raises(InputError, match=says):
        check_channels(count, chosen, "talk.wav")
    check_channels(1, [], "talk.wav")
    check_channels(2, [1, 0], "talk.wav")


async def from_pipe(data: bytes, audio: AudioFormat, frame_samples: int) -> list[bytes]:
    read, write = os.pipe()
    os.write(write, data)
    os.close(write)
    try:
        return await everything(StdinSource(audio, read), frame_samples)
    finally:
        os.close(read)


async def test_raw_input_is_cut_into_frames() -> None:
    frames = await from_pipe(bytes(range(250)) * 2, AudioFormat(), 100)
    assert [len(frame) for frame in frames] == [200, 200, 100]
    assert b"".join(frames) == bytes(range(250)) * 2


async def test_raw_input_that_ends_within_a_sample_is_an_error() -> None:
    with pytest.raises(InputError, match="every channel has 4 bytes, the last had 3"):
        await from_pipe(bytes(403), AudioFormat(channel_count=2), 100)


async def test_stopping_raw_input_that_waits_ends_it() -> None:
    read, write = os.pipe()
    source = StdinSource(AudioFormat(), read)
    frames = source.frames(100)
    os.write(write, bytes(200))
    assert await anext(frames) == bytes(200)
    source.stop()
    with pytest.raises(StopAsyncIteration):
        await anext(frames)
    os.close(write)  # the reading thread ends with its input
