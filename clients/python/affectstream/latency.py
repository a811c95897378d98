"""How long the server took, as its caller sees it: histograms of OpenTelemetry's metrics API.

Like `affectstream.tracing`, it uses the API where the application has imported it, and else does nothing.
Without an SDK the API records nothing.
"""

from __future__ import annotations

import sys
import time
from collections import OrderedDict, deque
from typing import Any, Final

from affectstream.enums import AffectStatus
from affectstream.events import AffectEvent, Event, SpeechEnded

STARTED: Final = "affectstream.client.session_start.duration"
"""From the call to `SessionStarted`."""
ENDPOINT: Final = "affectstream.client.endpoint.duration"
"""From the end of speech given to `send` to `SpeechEnded`: hang-over, way, detection."""
FINAL: Final = "affectstream.client.final.duration"
"""From the end of speech given to `send` to the final event."""

_API: Final = "opentelemetry.metrics"
_BUCKETS: Final = (0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0)
_SENDS: Final = 4_096
"""Remembered, with the time of each: half a minute of 10 ms frames, and more."""
_UTTERANCES: Final = 64
"""Whose final may be waited for."""


class Latency:
    """Of one stream. Positions are samples at the declared rate."""

    def __init__(self, rate_hz: int, metrics: Any) -> None:
        """``metrics`` is OpenTelemetry's module of that name."""
        self._rate_hz = rate_hz
        meter = metrics.get_meter("affectstream")
        self._histograms = {
            name: meter.create_histogram(name, unit="s", explicit_bucket_boundaries_advisory=_BUCKETS)
            for name in (STARTED, ENDPOINT, FINAL)
        }
        self._sent: deque[tuple[int, float]] = deque(maxlen=_SENDS)
        self._ended: OrderedDict[str, float] = OrderedDict()

    def started(self, seconds: float) -> None:
        """The session began ``seconds`` after it was asked for."""
        self._histograms[STARTED].record(seconds)

    def sent(self, position: int, given_at: float) -> None:
        """Audio up to ``position`` was given to be sent, then by `time.perf_counter`."""
        self._sent.append((position, given_at))

    def heard(self, event: Event) -> None:
        """An event came."""
        now = time.perf_counter()
        if isinstance(event, SpeechEnded) and event.speech_end is not None:
            spoken_at = self._when(event.speech_end.samples(self._rate_hz))
            if spoken_at is not None:
                self._histograms[ENDPOINT].record(now - spoken_at)
                self._ended[event.utterance_id] = spoken_at
                if len(self._ended) > _UTTERANCES:
                    self._ended.popitem(last=False)
        elif isinstance(event, AffectEvent) and event.is_final:
            spoken_at = self._ended.pop(event.utterance_id, None)
            if spoken_at is not None:
                status = AffectStatus(event.status).name if event.status in tuple(AffectStatus) else "UNKNOWN"
                self._histograms[FINAL].record(now - spoken_at, {"affectstream.status": status})

    def _when(self, position: int) -> float | None:
        """When the sample before ``position`` was given; None where that is forgotten."""
        while self._sent:
            sent_until, at = self._sent[0]
            if sent_until >= position:
                return at
            self._sent.popleft()
        return None


def of_stream(rate_hz: int) -> Latency | None:
    """For a stream that begins; None where nobody would look at it."""
    metrics = sys.modules.get(_API)
    return None if metrics is None else Latency(rate_hz, metrics)
