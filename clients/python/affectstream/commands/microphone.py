"""The microphone as a source of audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

from affectstream.commands import InputError, missing_extra
from affectstream.config import AudioFormat


class Microphone:
    """The default input device, mono LINEAR16, until it is stopped."""

    name = "microphone"
    live = True
    duration_s: float | None = None

    def __init__(self, rate_hz: int) -> None:
        """Find the device.

        Raises:
            InputError: sounddevice or PortAudio is not installed, or there is no input device.
        """
        try:
            import sounddevice
        except ImportError as error:
            raise missing_extra("mic", error.name) from None
        except OSError:
            raise InputError(
                "the microphone needs the PortAudio library: apt install libportaudio2"
            ) from None
        self._device = sounddevice
        try:
            sounddevice.check_input_settings(channels=1, dtype="int16", samplerate=rate_hz)
        except (sounddevice.PortAudioError, ValueError) as error:
            raise InputError(f"the microphone cannot be opened at {rate_hz} Hz: {error}") from None
        self.audio = AudioFormat(sample_rate_hz=rate_hz)
        self._queue: asyncio.Queue[bytes | None] = asyncio.Queue()

    async def frames(self, frame_samples: int) -> AsyncGenerator[bytes, None]:
        """See `Source.frames`."""
        loop = asyncio.get_running_loop()

        def take(data: Any, _frames: int, _time: object, _status: object) -> None:
            loop.call_soon_threadsafe(self._queue.put_nowait, bytes(data))

        with self._device.RawInputStream(
            samplerate=self.audio.sample_rate_hz,
            blocksize=frame_samples,
            channels=1,
            dtype="int16",
            callback=take,
        ):
            while (frame := await self._queue.get()) is not None:
                yield frame

    def stop(self) -> None:
        """See `Source.stop`."""
        self._queue.put_nowait(None)
