"""Positions in audio, for people."""

from __future__ import annotations


def clock(seconds: float, decimals: int = 2) -> str:
    """Minutes and seconds: ``"1:03.20"``."""
    rounded = round(seconds, decimals)
    minutes = int(rounded // 60)
    return f"{minutes}:{rounded - 60 * minutes:0{3 + decimals if decimals else 2}.{decimals}f}"
