"""See the whole service at work with one command: start a server on a free port, stream a talk to it,
show the events as they come, sum them up and draw them.

The bundled talk has ten synthetic utterances. It is sent at four times real time, so that the demo takes
about ten seconds; --speed 1 is what a live conversation looks like.

Exit status: 0 it worked; 1 the server or the stream failed; 2 wrong usage or audio that cannot be read.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from affectstream.client import AffectClient
from affectstream.commands import missing_extra
from affectstream.commands.display import model_name
from affectstream.commands.info import missing_packages
from affectstream.commands.local_server import local_server
from affectstream.commands.playback import Display, Heard, Player, ctrl_c, run_async
from affectstream.commands.sources import FileSource, check_channels
from affectstream.commands.stream import chosen_channels, speed, table
from affectstream.commands.summary import DEMONSTRATOR, summary
from affectstream.config import StreamConfig
from affectstream.enums import ConsentBasis
from affectstream.errors import AffectStreamError
from affectstream.events import AffectEvent, SessionSummary

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

FRAME_MS = 20


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream demo`."""
    parser.add_argument(
        "--audio", type=Path, metavar="FILE", help="your own recording; default: the bundled talk"
    )
    parser.add_argument("--channel", type=int, metavar="N", help="channel of --audio to analyse (default: 0)")
    parser.add_argument("--speed", type=speed, default=4.0, metavar="N", help="times real time (default: 4)")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("runs/demo"),
        metavar="DIR",
        help="for the picture (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> int:
    """Run the demo."""
    try:
        import matplotlib  # noqa: F401  better said before the talk than after it
    except ImportError as error:
        raise missing_extra("plot", error.name) from None
    lacking = missing_packages("server")
    if lacking:
        raise missing_extra("server", ", ".join(sorted(lacking)))
    if args.audio is not None:
        return _run(args, args.audio, args.audio.name)
    with as_file(files("affectstream") / "samples" / "talk.flac") as talk:
        return _run(args, talk, "the bundled talk")


def _run(args: argparse.Namespace, recording: Path, title: str) -> int:
    source = FileSource(recording, None)
    channel = args.channel
    if channel is None and source.audio.channel_count > 1:
        channel = 0
        print(f"{title} has {source.audio.channel_count} channels; channel 0 is analysed (see --channel)")
    chosen = () if channel is None else (channel,)
    check_channels(source.audio.channel_count, chosen, str(recording))
    args.out.mkdir(parents=True, exist_ok=True)
    try:
        heard = run_async(_session(args, source, chosen, title))
    except AffectStreamError as error:
        print(
            f"affectstream demo: {error}; the server's messages: {args.out / 'server.log'}", file=sys.stderr
        )
        return 1
    from affectstream.timeline import draw_timeline

    picture = args.out / "timeline.png"
    draw_timeline(
        picture,
        _samples(recording, channel or 0),
        source.audio.sample_rate_hz,
        [final.event for final in heard.finals if isinstance(final.event, AffectEvent)],
        title=f"How it was said: {title}",
        footnote=f"Affectstream, model {heard.model}. A demonstrator: not to be relied on for real people.",
    )
    print(f"\n{summary(heard.finals, heard.sent_s, heard.summary)}\n\n{DEMONSTRATOR}\n\npicture: {picture}")
    return 0


async def _session(
    args: argparse.Namespace, source: FileSource, chosen: Sequence[int], title: str
) -> _Collected:
    print("starting a server ...", flush=True)
    async with local_server(args.out / "server.log") as address:
        print(f"{title} → {address} at {args.speed:g} times real time\n", flush=True)
        config = StreamConfig(
            audio=source.audio,
            channels=chosen_channels(source.audio.channel_count, chosen),
            # The user's own recording or a synthetic one, on the user's own machine.
            consent_basis=ConsentBasis.NOT_PERSONAL,
        )
        async with AffectClient(address) as client, client.stream(config) as stream:
            collected = _Collected(table(title, source.duration_s), model_name(stream.started))
            player = Player(stream, source, collected, args.speed, FRAME_MS)
            try:
                with ctrl_c(player.interrupt):
                    await player.run()
            finally:
                collected.close()
    return collected


class _Collected:
    """Passes everything on to a display and keeps what the summary and the picture need."""

    def __init__(self, display: Display, model: str) -> None:
        self._display = display
        self.model = model
        self.finals: list[Heard] = []
        self.summary: SessionSummary | None = None
        self.sent_s = 0.0

    def heard(self, heard: Heard) -> None:
        if isinstance(heard.event, AffectEvent) and heard.event.is_final:
            self.finals.append(heard)
        if isinstance(heard.event, SessionSummary):  # it is shown with what was measured here, at the end
            self.summary = heard.event
            return
        self._display.heard(heard)

    def sent(self, position_s: float) -> None:
        self.sent_s = position_s
        self._display.sent(position_s)

    def close(self) -> None:
        self._display.close()


def _samples(recording: Path, channel: int) -> npt.NDArray[np.float32]:
    """One channel of a recording, shape (samples,)."""
    import soundfile

    samples: npt.NDArray[np.float32] = soundfile.read(recording, dtype="float32", always_2d=True)[0][
        :, channel
    ]
    return samples
