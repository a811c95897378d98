"""The Opus decoder: libopus by way of PyAV, and what the head of a packet says (RFC 6716)."""

from __future__ import annotations

import struct
from importlib import import_module
from importlib.util import find_spec
from typing import Final

import numpy as np
from numpy.typing import NDArray

from affectstream_server.stages.decode import OPUS_RATE_HZ

EXTRA: Final = "opus"
"""What installs the decoder: ``pip install "affectstream[opus]"``."""
MAX_CHANNELS: Final = 2
RATES_HZ: Final = (8_000, 12_000, 16_000, 24_000, 48_000)
"""What may be declared: positions are counted at this rate, whole samples of Opus's own 48 kHz."""
HEAD: Final = struct.Struct("<8sBBHIhB")
LONGEST_PACKET: Final = 5_760

Audio = NDArray[np.float32]


def installed() -> bool:
    """The decoder can be used here."""
    return find_spec("av") is not None


def load() -> None:
    """Load the decoder, where there is one, before a stream has to wait for it."""
    if installed():
        import_module("av")


def packet_samples(packet: bytes) -> int:
    """Length of an Opus packet in samples at 48 kHz as its first bytes say it; 0: they cannot be right."""
    if not packet:
        return 0
    config, code = packet[0] >> 3, packet[0] & 3
    if config < 12:
        frame = (480, 960, 1_920, 2_880)[config & 3]
    elif config < 16:
        frame = (480, 960)[config & 1]
    else:
        frame = 120 << (config & 3)
    if code == 3 and len(packet) == 1:
        return 0
    count = packet[1] & 0x3F if code == 3 else min(code, 1) + 1
    return frame * count if frame * count <= LONGEST_PACKET else 0


class Codec:
    """libopus for one stream, by way of PyAV."""

    def __init__(self, channels: int, gain: int = 0) -> None:
        import av

        self._packet, self._error = av.Packet, av.error.FFmpegError
        self._channels = channels
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, av.AudioCodecContext)  # noqa: S101 - the codec's own kind
        # No pre-skip: FFmpeg would take it off where it cannot know of audio that is missing.
        context.extradata = HEAD.pack(b"OpusHead", 1, channels, 0, OPUS_RATE_HZ, gain, 0)
        context.options = {"request_sample_fmt": "flt"}
        context.thread_count = 1
        self._context = context

    def decode(self, packet: bytes) -> Audio | None:
        """float32 ``[n, channels]`` at 48 kHz; None for a damaged packet."""
        if not packet:  # FFmpeg would take it for the end
            return None
        try:
            frames = self._context.decode(self._packet(packet))
        except self._error:
            return None
        parts = [frame.to_ndarray().reshape(-1, self._channels) for frame in frames]
        return np.concatenate(parts) if parts else None
