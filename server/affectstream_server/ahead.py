"""When an open utterance is scored before its endpoint.

In a silence long enough to hold the post-roll, its score is begun as if the silence will hold. Where the
caller asked for provisional events, the utterance so far is scored at that interval. Both wait while the
scorer is busy, and neither comes more often than the settings allow.
"""

from __future__ import annotations

from collections.abc import Callable

from affectstream_server.channel import Channel
from affectstream_server.scoring.load import Share
from affectstream_server.settings import ScoringSettings
from affectstream_server.stages.score import ScoringQueue
from affectstream_server.stages.segment import Ended, Segmenter
from affectstream_server.timeline import samples_of_ms


class ScoringAhead:
    """Looks at a stream's open utterances after each block."""

    def __init__(self, settings: ScoringSettings, share: Share, scoring: ScoringQueue) -> None:
        self._speculate = settings.speculate
        self._interval = samples_of_ms(settings.speculate_every_ms)
        self._share = share
        self._scoring = scoring
        self.provisional_interval = 0
        """Samples at 16 kHz between provisional events; 0: none are asked for."""

    def consider(self, channel: Channel, is_scored: Callable[[Ended], bool]) -> None:
        """A block was decided on. ``is_scored``: the model would be asked about such bounds."""
        segmenter, scoring = channel.segmenter, self._scoring
        is_silent = self._speculate and isinstance(segmenter, Segmenter) and segmenter.heard_end
        if scoring.is_ahead(channel.index):
            if not is_silent:
                scoring.speech_went_on(channel.index, provisional=self.provisional_interval > 0)
            return
        interval = self._interval if is_silent else self.provisional_interval
        since_last = segmenter.position - channel.scored_until
        if not (is_silent or interval) or since_last < interval or not self._share.has_room:
            return
        bounds = segmenter.so_far()
        if bounds is None or not is_scored(bounds):
            return
        channel.scored_until = segmenter.position
        if is_silent:
            scoring.speculate(channel.cut(bounds))
        else:
            scoring.score_so_far(channel.cut(bounds))
