"""Cue baseline: how far the cues of an utterance lie from the speaker's own in this session.

Every final with cues counts, whatever became of its score: a voice is as high in an utterance about which the
model is not sure.
"""

from __future__ import annotations

from affectstream.v1 import affect_pb2 as pb
from affectstream_server.cues.catalogue import CUES
from affectstream_server.stages.baseline import Running


class CueBaselines:
    """The baselines of one session: by channel and cue, on the cue's own scale."""

    def __init__(self) -> None:
        self._channels: dict[int, dict[str, Running]] = {}

    def clear(self) -> None:
        """Consent was withdrawn: forget everything."""
        self._channels.clear()

    def compare(self, channel: int, final: pb.AffectEvent) -> None:
        """Say in a final event how its cues differ from those before it, then count them in."""
        if not final.cues:
            return
        if channel not in self._channels:
            self._channels[channel] = {cue.name: Running(floor=cue.least_spread) for cue in CUES}
        running = self._channels[channel]
        scales = {cue.name: cue.scaled for cue in CUES}
        for cue in final.cues:
            scaled = scales[cue.name]
            z_score = running[cue.name].z_score(scaled(cue.value))
            if z_score is not None:
                cue.z_score = z_score
                if cue.HasField("salient_value"):
                    salient = running[cue.name].z_score(scaled(cue.salient_value))
                    assert salient is not None  # noqa: S101 - the baseline spoke a line above
                    cue.salient_z_score = salient
            running[cue.name].add(scaled(cue.value))
