"""Speech as requests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from affectstream.v1 import affect_pb2 as pb
from bench import talks


def test_a_file_becomes_whole_frames(tmp_path: Path) -> None:
    path = tmp_path / "ramp.wav"
    samples = np.arange(1_000, dtype=np.int16)
    soundfile.write(path, samples, 16_000)
    requests = talks.read(path, 320)
    data = b"".join(pb.StreamAffectRequest.FromString(request).audio.data for request in requests)
    assert len(requests) == 3
    np.testing.assert_array_equal(np.frombuffer(data, "<i2"), samples[:960])


def test_another_rate_is_resampled_and_the_first_channel_taken(tmp_path: Path) -> None:
    path = tmp_path / "stereo.wav"
    soundfile.write(
        path, np.stack([np.full(48_000, 9_000), np.zeros(48_000)], axis=1).astype(np.int16), 48_000
    )
    requests = talks.read(path, 1_600)
    middle = np.frombuffer(pb.StreamAffectRequest.FromString(requests[5]).audio.data, "<i2")
    assert len(requests) == 10
    np.testing.assert_allclose(middle, 9_000, atol=20)


@pytest.mark.parametrize(("name", "content"), [("no.wav", None), ("bad.wav", b"not audio")])
def test_a_file_that_cannot_be_read_is_named(tmp_path: Path, name: str, content: bytes | None) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(talks.NoTalks, match=name):
        talks.read(path, 320)


def test_a_file_shorter_than_a_frame_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "short.wav"
    soundfile.write(path, np.zeros(100, np.int16), 16_000)
    with pytest.raises(talks.NoTalks, match="shorter than one frame"):
        talks.read(path, 320)


def test_streams_share_talks_and_begin_at_different_places() -> None:
    talk = [bytes([n]) for n in range(100)]
    made = talks.Talks((talk, talk[:50]))
    assert made.of_stream(0) == (talk, 0)
    assert made.of_stream(1)[0] == talk[:50]
    assert made.of_stream(0)[0] is made.of_stream(2)[0]
    assert len({made.of_stream(stream)[1] for stream in range(0, 20, 2)}) == 10


def test_named_files_come_before_the_environment_and_that_before_the_sample(tmp_path: Path) -> None:
    folder = tmp_path / "conversation"
    folder.mkdir()
    with pytest.raises(talks.NoTalks, match="AFFECTSTREAM_AUDIO: no audio in"):
        talks.find(environ={"AFFECTSTREAM_AUDIO": str(tmp_path)})
    (folder / "a.flac").touch()
    (folder / "segments.tsv").touch()
    named = talks.find([Path("mine.wav")], {"AFFECTSTREAM_AUDIO": str(tmp_path)})
    assert named.paths == (Path("mine.wav"),)
    assert talks.find(environ={"AFFECTSTREAM_AUDIO": str(tmp_path)}).paths == (folder / "a.flac",)
    sample = talks.find(environ={})
    assert "bundled sample" in sample.description
    assert all(path.is_file() for path in sample.paths)
