"""Send audio to a server and show the affect events that come back.

FILE is a recording (WAV, FLAC, OGG; 8 to 48 kHz, 1 to 8 channels) or "-" for raw PCM on standard
input. Ctrl-C ends the audio early and waits for the last events; a second Ctrl-C gives up.

With --format jsonl every line of standard output is one affectstream.v1.SessionEvent in proto3 JSON
(lowerCamelCase names, 64-bit integers as strings, unset fields left out), and nothing else is written
there; messages go to standard error.

A connection that is lost is made again for up to 30 s, and the session goes on; messages say what became of
it. Audio waits meanwhile, of the microphone the last 10 s.

Exit status: 0 the stream ended well; 1 the server or the stream failed; 2 wrong usage or an input
that cannot be read; 130 given up with a second Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from affectstream.commands import InputError, access, consent
from affectstream.commands.display import JsonLines, PlainLines
from affectstream.commands.playback import Display, Player, ctrl_c, run_async
from affectstream.commands.sources import FileSource, Source, StdinSource, check_channels, check_rate
from affectstream.config import AudioFormat, Channel, Outputs, StreamConfig
from affectstream.contract import LIMITS
from affectstream.enums import AudioEncoding
from affectstream.errors import AffectStreamError, ConnectError
from affectstream.reconnect import Reconnect

ENCODINGS = {
    "linear16": AudioEncoding.LINEAR16,
    "float32": AudioEncoding.FLOAT32,
    "mulaw": AudioEncoding.MULAW,
    "alaw": AudioEncoding.ALAW,
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `affectstream stream`."""
    parser.add_argument(
        "file", nargs="?", metavar="FILE", help='a recording, or "-" for raw PCM on standard input'
    )
    parser.add_argument("--mic", action="store_true", help="the microphone instead of FILE (extra: mic)")
    parser.add_argument("--server", required=True, metavar="HOST:PORT", help="where the server is")
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="N",
        help="1 is real time (default), 8 eight times as fast, 0 as fast as the server takes it",
    )
    parser.add_argument(
        "--format",
        choices=("table", "jsonl"),
        default="table",
        help="default: %(default)s; plain lines in a pipe",
    )
    parser.add_argument(
        "--frame-ms",
        type=frame_ms,
        default=20,
        metavar="MS",
        help="audio in a message, 10 to 1000 (default: 20)",
    )
    parser.add_argument(
        "--channel",
        type=int,
        action="append",
        default=[],
        metavar="N",
        help="a channel to analyse, 0 is the first; give it again for another",
    )
    parser.add_argument(
        "--provisional",
        type=int,
        metavar="MS",
        help="show how an utterance sounds so far, at this interval of audio, 250 to 10000",
    )
    parser.add_argument(
        "--cues", action="store_true", help="say how the voice differs from the speaker's own before"
    )
    parser.add_argument("--saliency", action="store_true", help="say on which parts each score rests")
    parser.add_argument("--model", default="", metavar="NAME", help="a model that `affectstream info` lists")
    parser.add_argument(
        "--encoding", choices=ENCODINGS, help="on the wire; for raw input: what it is (default: linear16)"
    )
    parser.add_argument(
        "--rate", type=int, metavar="HZ", help="sample rate of raw input or of the microphone"
    )
    parser.add_argument(
        "--channels", type=int, metavar="N", help="interleaved channels of raw input (default: 1)"
    )
    parser.add_argument(
        "--no-reconnect", action="store_true", help="end when the connection is lost, with exit status 1"
    )
    parser.add_argument("--session-id", default="", metavar="ID", help="default: the server makes one")
    parser.add_argument("--language", default="", metavar="TAG", help="BCP 47 tag of the language, a hint")
    consent.add_argument(parser)
    access.add_arguments(parser)


def run(args: argparse.Namespace) -> int:
    """Stream it."""
    source = open_source(args)
    check_channels(source.audio.channel_count, args.channel, args.file or "--mic")
    display_title = f"{source.name} → {args.server}"
    config = StreamConfig(
        audio=source.audio,
        channels=chosen_channels(source.audio.channel_count, args.channel),
        outputs=Outputs(provisional_interval_ms=args.provisional, cues=args.cues, saliency=args.saliency),
        session_id=args.session_id,
        language_code=args.language,
        model=args.model,
        consent_basis=consent.basis(args),
    )
    return run_async(_stream(args, config, source, display_title))


async def _stream(args: argparse.Namespace, config: StreamConfig, source: Source, title: str) -> int:
    try:
        reconnect = None if args.no_reconnect else Reconnect(wait_when_full=not source.live)
        async with (
            access.client(args.server, args) as client,
            client.stream(config, reconnect=reconnect) as stream,
        ):
            display = JsonLines() if args.format == "jsonl" else table(title, source.duration_s)
            player = Player(stream, source, display, args.speed, args.frame_ms)
            try:
                with ctrl_c(player.interrupt):
                    await player.run()
            finally:
                display.close()
    except AffectStreamError as error:
        hint = "; start one with: affectstream serve" if isinstance(error, ConnectError) else ""
        print(f"affectstream stream: {error}{hint}", file=sys.stderr)
        return 1
    return 0


def open_source(args: argparse.Namespace) -> Source:
    """The source that the arguments name.

    Raises:
        InputError: none or two are named, or it cannot be opened.
    """
    if args.mic == (args.file is not None):
        raise InputError('give either a FILE ("-" for standard input) or --mic')
    encoding = ENCODINGS[args.encoding] if args.encoding else None
    if args.mic:
        from affectstream.commands.microphone import Microphone

        rate_hz = args.rate or 16_000
        check_rate(rate_hz, "--mic")
        return Microphone(rate_hz)
    if args.file != "-":
        if args.rate is not None or args.channels is not None:
            raise InputError("--rate and --channels are for raw PCM; a recording says them itself")
        return FileSource(Path(args.file), encoding)
    if args.rate is None:
        raise InputError("raw PCM on standard input needs --rate, such as: --rate 16000")
    check_rate(args.rate, "standard input")
    audio = AudioFormat(
        encoding=encoding or AudioEncoding.LINEAR16,
        sample_rate_hz=args.rate,
        channel_count=1 if args.channels is None else args.channels,
    )
    return StdinSource(audio)


def chosen_channels(count: int, chosen: Sequence[int]) -> tuple[Channel, ...]:
    """What to say of each channel: nothing of an only one, else whether it is to be analysed."""
    if count == 1:
        return ()
    return tuple(Channel(index=index, analyze=index in chosen) for index in range(count))


def table(title: str, duration_s: float | None) -> Display:
    """A live table on a terminal, plain lines elsewhere."""
    if not sys.stdout.isatty():
        return PlainLines()
    try:
        from affectstream.commands.live import LiveTable
    except ImportError:
        print('plain lines; a live table comes with: pip install "affectstream[cli]"', file=sys.stderr)
        return PlainLines()
    return LiveTable(title, duration_s)


def speed(text: str) -> float:
    """A speed from the command line: 0, or a finite number above it."""
    value = float(text)
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"{text} is not 0 or a number above it")
    return value


def frame_ms(text: str) -> int:
    """A frame length from the command line, 10..1000 ms."""
    value = int(text)
    if not 10 <= value <= LIMITS.chunk_ms:
        raise argparse.ArgumentTypeError(f"{text} is not within 10..{LIMITS.chunk_ms}")
    return value
