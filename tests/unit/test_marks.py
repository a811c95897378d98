"""The search for marks finds them: whatever says "nowhere" elsewhere could have said where."""

from __future__ import annotations

import base64
import json
import logging
import os
import tempfile
from collections.abc import Callable
from contextlib import closing
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path

import numpy as np
import pytest

from affectstream.v1 import affect_pb2 as pb
from tests.support.marks import MarkedAudio, bytes_mark, files_in, found, text_mark, written_by

AUDIO = MarkedAudio.make(7)
CUT = slice(11, 41)
"""Nobody keeps audio from where the mark begins."""
FORMS = {
    "LINEAR16": AUDIO.int16[CUT].tobytes(),
    "FLOAT32": AUDIO.float32[CUT].tobytes(),
    "floats at full scale": (AUDIO.float32[CUT] * 32_768).tobytes(),
    "MULAW": AUDIO.codes[CUT].tobytes(),
    "big-endian": AUDIO.int16[CUT].astype(">i2").tobytes(),
}
WAYS: dict[str, Callable[[bytes], bytes]] = {
    "as it is": lambda data: data,
    "among other bytes": lambda data: b"\x00\x01" + data + b"\x02",
    "repr": lambda data: repr(data).encode(),
    "hex": lambda data: data.hex().encode(),
    "HEX": lambda data: data.hex().upper().encode(),
    "base64": base64.b64encode,
    "base64 after one byte": lambda data: base64.b64encode(b"x" + data),
    "base64 after two bytes, safe for addresses": lambda data: base64.urlsafe_b64encode(b"xy" + data),
    "a protobuf message": lambda data: pb.AudioChunk(data=data).SerializeToString(),
    "a protobuf message's text": lambda data: str(pb.AudioChunk(data=data)).encode(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("form", FORMS)
def test_audio_is_found_in_every_form_and_way(form: str, way: str, tmp_path: Path) -> None:
    file = tmp_path / "deep" / "in" / ".a.log"
    file.parent.mkdir(parents=True)
    file.write_bytes(b"before " + WAYS[way](FORMS[form]) + b" after")
    assert found([AUDIO.mark()], files_in(tmp_path)) == [f"audio in {file}"]


@pytest.mark.parametrize("values", [AUDIO.int16[CUT], AUDIO.float32[CUT], AUDIO.codes[CUT]])
def test_audio_is_found_written_as_numbers(values: np.ndarray) -> None:
    for text in (str(values.tolist()), json.dumps(values.tolist()), " ".join(map(str, values.tolist()))):
        assert found([AUDIO.mark()], {"log": text.encode()}) == ["audio in log"]


@pytest.mark.parametrize("way", WAYS)
def test_words_and_bytes_are_found_in_every_way(way: str) -> None:
    word, data = "afs_marked-token-0123456789", bytes(range(200, 220))
    assert found([text_mark("token", word)], {"log": WAYS[way](word.encode())})
    assert found([bytes_mark("resume token", data)], {"log": WAYS[way](data)})


def test_what_begins_and_ends_with_zeros_is_found_among_zeros() -> None:
    data = bytes(8) + b"afs_page" + bytes(8)
    mark = bytes_mark("resume token", data)
    for before, after in ((8, 8), (63, 64), (1 << 16, 1 << 16)):
        assert found([mark], {"shared memory": bytes(before) + b"afs_page" + bytes(after)})
    assert not found([mark], {"shared memory": b"afs_pag" + bytes(1 << 16)})


def test_what_is_not_there_is_not_found() -> None:
    other = MarkedAudio.make(8)
    places = FORMS | {"noise": np.random.default_rng(1).bytes(1 << 20)}
    assert not found([other.mark(), text_mark("token", "afs_other")], places)


def test_marked_audio_is_the_same_samples_in_every_form() -> None:
    from affectstream_server.stages.decode import AudioFormat, Decoder

    decoded = Decoder(AudioFormat("MULAW", 16_000, 1), 0).decode(AUDIO.codes.tobytes())
    assert decoded.tolist() == AUDIO.int16.tolist()
    decoded = Decoder(AudioFormat("FLOAT32", 16_000, 1), 0).decode(AUDIO.float32.tobytes())
    assert decoded.tolist() == AUDIO.int16.tolist()


def test_a_log_line_that_shows_audio_is_found(tmp_path: Path) -> None:
    log = logging.getLogger("tests.marks")
    handler = logging.FileHandler(tmp_path / "server.log")
    log.addHandler(handler)
    log.error("could not take %r", pb.AudioChunk(data=AUDIO.int16.tobytes()))
    handler.close()
    log.removeHandler(handler)
    assert found([AUDIO.mark()], files_in(tmp_path))


def test_files_without_a_name_and_shared_memory_are_seen() -> None:
    before = written_by(os.getpid())
    with tempfile.TemporaryFile() as file, closing(SharedMemory(create=True, size=64)) as shared:
        made = written_by(os.getpid()) - before
        shared.unlink()
        assert len(made) == 2
        assert any(shared.name in path for path in made)
        assert file.fileno()
