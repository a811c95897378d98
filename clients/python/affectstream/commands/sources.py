"""Where audio comes from: a recording, raw PCM on standard input, the microphone."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from affectstream.commands import InputError, missing_extra
from affectstream.config import AudioFormat
from affectstream.contract import LIMITS
from affectstream.enums import AudioEncoding

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

_QUEUE_FRAMES: Final = 64


class Source(Protocol):
    """Audio in frames of one length, in the encoding that goes over the wire."""

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def audio(self) -> AudioFormat:
        """What the bytes are."""

    @property
    def duration_s(self) -> float | None:
        """Its length in seconds; None: not known before its end."""

    @property
    def live(self) -> bool:
        """It comes at its own pace, so that sending must not wait."""

    def frames(self, frame_samples: int) -> AsyncGenerator[bytes, None]:
        """Its audio, `frame_samples` samples of every channel at once; the last may be shorter."""

    def stop(self) -> None:
        """End `frames` soon, as if the audio ended here."""


def check_rate(rate_hz: int, where: str) -> None:
    """Refuse rates that no server takes, before one is asked.

    Raises:
        InputError: names field, value, limit and what to do.
    """
    low, high = LIMITS.min_sample_rate_hz, LIMITS.max_sample_rate_hz
    if not low <= rate_hz <= high:
        raise InputError(
            f"{where}: sample_rate_hz is {rate_hz}, the limit is {low}..{high}; "
            "convert it first, for example: sox IN.wav -r 16000 OUT.wav"
        )


def check_channels(count: int, chosen: Sequence[int], where: str) -> None:
    """Refuse channel counts that no server takes, and chosen channels that are not there.

    Raises:
        InputError: names field, value, limit and what to do.
    """
    if not 1 <= count <= LIMITS.max_channels:
        raise InputError(
            f"{where}: channel_count is {count}, the limit is 1..{LIMITS.max_channels}; leave some out"
        )
    if not chosen and count > 1:
        raise InputError(f"{where} has {count} channels; say which to analyse: --channel 0..{count - 1}")
    for channel in chosen:
        if not 0 <= channel < count:
            raise InputError(f"{where}: --channel is {channel}, the limit is 0..{count - 1}")


class FileSource:
    """A recording that libsndfile reads: WAV, FLAC, OGG and more, at any rate the server takes."""

    live = False

    def __init__(self, path: Path, encoding: AudioEncoding | None) -> None:
        """Open it.

        Args:
            path: The recording.
            encoding: How it goes over the wire; None: FLOAT32 for recordings in floating point,
                LINEAR16 for all others.

        Raises:
            InputError: it cannot be read, holds no audio, or soundfile is not installed.
        """
        try:
            import soundfile
        except ImportError as error:
            raise missing_extra("cli", error.name) from None
        self.name = path.name
        self._stopped = False
        self._error = soundfile.LibsndfileError
        try:
            with path.open("rb"):
                self._file = soundfile.SoundFile(path)
        except OSError as error:
            raise InputError(f"cannot read {path}: {(error.strerror or 'unknown error').lower()}") from None
        except soundfile.LibsndfileError:
            raise InputError(
                f"cannot read {path}: not a recording that libsndfile knows (WAV, FLAC, OGG)"
            ) from None
        if self._file.frames <= 0:
            raise InputError(f"{path} holds no audio")
        check_rate(self._file.samplerate, str(path))
        is_float = self._file.subtype in {"FLOAT", "DOUBLE"}
        self.audio = AudioFormat(
            encoding=encoding or (AudioEncoding.FLOAT32 if is_float else AudioEncoding.LINEAR16),
            sample_rate_hz=self._file.samplerate,
            channel_count=self._file.channels,
        )
        self.duration_s: float | None = self._file.frames / self._file.samplerate

    async def frames(self, frame_samples: int) -> AsyncGenerator[bytes, None]:
        """See `Source.frames`.

        Raises:
            InputError: the recording is damaged from some point on.
        """
        with self._file as file:
            while not self._stopped:
                try:
                    block = file.read(frame_samples, dtype="float32", always_2d=True)
                except self._error:
                    at_s = file.tell() / file.samplerate
                    raise InputError(f"{self.name} is damaged at {at_s:.1f} s") from None
                if not len(block):
                    return
                yield encode(block, self.audio)

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped = True


def encode(block: npt.NDArray[np.float32], audio: AudioFormat) -> bytes:
    """Samples of shape (frames, channels) in -1..1 as the bytes of `audio.encoding`."""
    import numpy as np
    import soundfile

    if audio.encoding == AudioEncoding.FLOAT32:
        return block.astype("<f4").tobytes()
    with np.errstate(invalid="ignore"):  # a NaN has no integer; FLOAT32 is the encoding that reports it
        pcm: npt.NDArray[np.int16] = np.clip(np.rint(block * 32768.0), -32768, 32767).astype("<i2")
    if audio.encoding == AudioEncoding.LINEAR16:
        return pcm.tobytes()
    law = {AudioEncoding.MULAW: "ULAW", AudioEncoding.ALAW: "ALAW"}[AudioEncoding(audio.encoding)]
    from io import BytesIO

    with BytesIO() as out:
        soundfile.write(out, pcm, audio.sample_rate_hz, subtype=law, format="RAW")
        return out.getvalue()


class StdinSource:
    """Raw PCM on standard input, in the encoding that the caller states."""

    name = "standard input"
    live = False
    duration_s: float | None = None

    def __init__(self, audio: AudioFormat, file_descriptor: int = 0) -> None:
        self.audio = audio
        self._fd = file_descriptor
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue(_QUEUE_FRAMES)
        self._stopped = False

    async def frames(self, frame_samples: int) -> AsyncGenerator[bytes, None]:
        """See `Source.frames`.

        Raises:
            InputError: the input ends within a sample.
        """
        frame_bytes = self.audio.frame_bytes or 1
        # A daemon thread and os.read, since a read that waits for a keyboard cannot be cancelled and
        # must not hold up the end of the program.
        threading.Thread(
            target=self._read, args=(asyncio.get_running_loop(),), name="stdin", daemon=True
        ).start()
        size = frame_samples * frame_bytes
        pending = bytearray()
        while (data := await self._queue.get()) is not None and not self._stopped:
            pending += data
            while len(pending) >= size:
                yield bytes(pending[:size])
                del pending[:size]
        whole = len(pending) - len(pending) % frame_bytes
        if whole:
            yield bytes(pending[:whole])
        if whole != len(pending) and not self._stopped:
            raise InputError(
                f"standard input ended within a sample: one of every channel has {frame_bytes} bytes, "
                f"the last had {len(pending) - whole}; are --encoding and --channels right?"
            )

    def stop(self) -> None:
        """See `Source.stop`."""
        self._stopped = True
        if self._queue.empty():
            self._queue.put_nowait(None)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        try:
            while not self._stopped:
                data = os.read(self._fd, 65536)
                asyncio.run_coroutine_threadsafe(self._queue.put(data or None), loop).result()
                if not data:
                    return
        except (RuntimeError, asyncio.CancelledError):
            return  # the loop has ended: nobody waits for the input any more
