"""What a user reads: JSON lines, plain lines, the live table, the summary, the picture."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from google.protobuf.json_format import Parse
from rich.console import Console

from affectstream.commands.clock import clock
from affectstream.commands.display import JsonLines, PlainLines, notes
from affectstream.commands.live import LiveTable
from affectstream.commands.playback import Heard
from affectstream.commands.recap import recap
from affectstream.commands.summary import summary
from affectstream.decode import decode
from affectstream.errors import ServerUnavailable
from affectstream.events import AffectEvent, SessionSummary
from affectstream.states import (
    AudioLost,
    LocalEvent,
    Lost,
    NewSession,
    Reconnecting,
    Resumed,
    SessionLost,
)
from affectstream.timeline import draw_timeline
from affectstream.v1 import affect_pb2 as pb
from affectstream.values import AudioTime
from tests.unit.client.talk import affect_events, closed, final, heard, started

WARNING = pb.Warning(code="AUDIO_CLIPPED", message="some samples are at full scale")
ABSTAINED = pb.AFFECT_STATUS_ABSTAINED


def session() -> list[Heard]:
    return [
        started(),
        heard(pb.SessionEvent(sequence=2, speech_started=pb.SpeechStarted(utterance_id="u1"))),
        final(0.5, 2.0, "happy", 0.81, arousal=0.83, lag_ms=12.4),
        heard(pb.SessionEvent(sequence=4, warning=WARNING)),
        final(61.0, 63.25, "sad", 0.4, status=ABSTAINED, arousal=0.21, lag_ms=30.0),
        closed(),
    ]


def test_json_lines_parse_back_to_the_same_messages() -> None:
    out = io.StringIO()
    display = JsonLines(out)
    for item in session()[1:]:
        display.heard(item)
    lines = out.getvalue().splitlines()
    assert [Parse(line, pb.SessionEvent()) for line in lines] == [item.event.proto for item in session()[1:]]
    assert json.loads(lines[1])["affect"]["topLabel"] == "happy"
    assert out.getvalue().isascii()


def test_json_lines_keep_the_resume_token_to_themselves() -> None:
    out = io.StringIO()
    item = started()
    JsonLines(out).heard(item)
    assert "resumeToken" not in out.getvalue()
    assert '"sessionId": "call-7"' in out.getvalue()
    assert item.event.proto.session_started.resume_token == b"secret-token", "the event itself is left alone"


def test_plain_lines_say_one_line_for_each_final() -> None:
    out = io.StringIO()
    display = PlainLines(out)
    for item in session():
        display.heard(item)
    lines = out.getvalue().splitlines()
    assert lines[0] == "session call-7, model affect-test 1.2.3"
    assert " ".join(lines[1].split()) == (
        "1 0:00.50-0:02.00 happy 0.81 arousal 0.83 OK hang-over 256 ms lag 12 ms"
    )
    assert lines[2] == "warning AUDIO_CLIPPED: some samples are at full scale"
    assert "ABSTAINED" in lines[3]
    assert lines[4:] == ["closed: END_OF_AUDIO"]


def test_what_users_taught_is_marked_as_theirs() -> None:
    item = final(0.5, 2.0, "happy", 0.81)
    taught = item.event.proto.affect.user_outputs.add(name="loudness", top_label="loud")
    taught.scores.add(label="calm", probability=0.25)
    taught.scores.add(label="loud", probability=0.75)
    event = decode(item.event.proto)
    assert isinstance(event, AffectEvent)
    assert notes(event) == "user-defined loudness: loud 0.75"
    out = io.StringIO()
    PlainLines(out).heard(Heard(event, None))
    assert "user-defined loudness: loud 0.75" in out.getvalue()


CUT = ServerUnavailable("the connection to the server was lost")
LOST = Lost(16_000, 40_000, 1.5)
OUTAGE: list[tuple[LocalEvent, str]] = [
    (
        Reconnecting(session_id="s", attempt=2, cause=CUT, next_try_s=0.25),
        "the connection to the server was lost; attempt 2 in 0.2 s",
    ),
    (Resumed(session_id="s", attempts=2, outage_s=1.04, lost=None), "the session goes on after 1.0 s"),
    (
        Resumed(session_id="s", attempts=2, outage_s=12.0, lost=LOST),
        "the session goes on after 12.0 s, 1.5 s of audio lost",
    ),
    (
        SessionLost(session_id="s", cause=CUT, unfinished=("u1", "u2")),
        "the session is lost, 2 utterances without a final event: the connection to the server was lost",
    ),
    (
        NewSession(
            session_id="t",
            previous_session_id="s",
            origin_samples=1_024_000,
            origin=AudioTime(64 * 10**9),
            attempts=1,
            outage_s=0.1,
            lost=None,
        ),
        "a new session, t, goes on at 1:04.0",
    ),
    (AudioLost(session_id="s", lost=LOST), "the line is too slow, 1.5 s of audio lost"),
]


def test_how_the_line_stands_goes_to_standard_error_alone() -> None:
    for kind in (JsonLines, PlainLines):
        out, err = io.StringIO(), io.StringIO()
        display = kind(out, err)
        for event, _ in OUTAGE:
            display.heard(Heard(event))
        assert err.getvalue().splitlines() == [f"affectstream stream: {text}" for _, text in OUTAGE]
        assert out.getvalue() == ""


def test_the_live_table_shows_the_state_and_keeps_what_was_lost() -> None:
    assert "reconnecting" in live_text([started(), Heard(OUTAGE[0][0])])
    text = live_text([started(), *(Heard(event) for event, _ in OUTAGE[:3]), started(), closed()])
    assert "reconnecting" not in text
    assert "the session goes on after 12.0 s, 1.5 s of audio lost" in text
    assert "after 1.0 s" not in text, "nothing was lost"


def two_channels() -> Heard:
    channels = [pb.ChannelConfig(index=i, analyze=True) for i in range(2)]
    return heard(pb.SessionEvent(session_started=pb.SessionStarted(channels=channels)))


def on_channel(item: Heard, channel: int) -> Heard:
    message = pb.SessionEvent.FromString(item.event.proto.SerializeToString())
    message.channel = channel
    return heard(message)


def test_plain_lines_mark_what_is_provisional_and_count_only_finals() -> None:
    out = io.StringIO()
    display = PlainLines(out)
    for item in (final(1, 2, stage=pb.STAGE_PROVISIONAL), final(1, 3), final(4, 5)):
        display.heard(item)
    assert [line.split()[:2] for line in out.getvalue().splitlines()] == [
        ["~", "0:01.00-0:02.00"],
        ["1", "0:01.00-0:03.00"],
        ["2", "0:04.00-0:05.00"],
    ]


def test_channels_are_named_where_there_are_several() -> None:
    out = io.StringIO()
    display = PlainLines(out)
    for item in (two_channels(), on_channel(final(1, 2), 0), on_channel(final(1, 3), 1)):
        display.heard(item)
    assert ["channel 0" in line for line in out.getvalue().splitlines()] == [False, True, False]
    assert ["channel 1" in line for line in out.getvalue().splitlines()] == [False, False, True]
    assert "channel" not in live_text([started(), final(1, 2)])
    text = live_text([two_channels(), on_channel(final(1, 2), 0), on_channel(final(1, 3), 1)])
    assert "channel" in text
    assert re.search(r"1 +0 +0:01\.00-0:02\.00", text)
    assert re.search(r"2 +1 +0:01\.00-0:03\.00", text)


def test_notes_say_what_is_out_of_the_ordinary() -> None:
    item = final(1, 2)
    assert isinstance(item.event, AffectEvent)
    assert notes(item.event) == ""
    message = pb.SessionEvent.FromString(item.event.proto.SerializeToString())
    message.affect.timing.speculated = True
    message.affect.quality.barge_in = message.affect.quality.truncated = True
    marked = heard(message)
    assert isinstance(marked.event, AffectEvent)
    assert notes(marked.event) == "ahead, barge-in, cut"
    assert "ahead, barge-in, cut" in live_text([started(), marked])


def test_the_table_replaces_what_was_provisional_by_the_final() -> None:
    so_far = final(1, 2, "sad", stage=pb.STAGE_PROVISIONAL)
    later = final(1, 3, "happy", stage=pb.STAGE_PROVISIONAL)
    text = live_text([started(), so_far, later])
    assert "so far" in text
    assert "0:01.00-0:02.00" not in text, "a later one replaces it"
    text = live_text([started(), so_far, later, final(1, 4), closed()])
    assert "so far" not in text
    assert "0:01.00-0:04.00" in text


def test_an_event_without_values_shows_none() -> None:
    out = io.StringIO()
    PlainLines(out).heard(final(1, 2, "", status=pb.AFFECT_STATUS_INSUFFICIENT_SPEECH, arousal=None))
    assert "arousal" not in out.getvalue()
    assert "INSUFFICIENT_SPEECH" in out.getvalue()


@pytest.mark.parametrize(
    ("seconds", "decimals", "text"),
    [
        (0, 2, "0:00.00"),
        (59.996, 2, "1:00.00"),
        (61.25, 1, "1:01.2"),
        (3725.5, 1, "62:05.5"),
        (9.5, 0, "0:10"),
    ],
)
def test_clock(seconds: float, decimals: int, text: str) -> None:
    assert clock(seconds, decimals) == text


def live_text(items: list[Heard], *, height: int = 30, duration_s: float | None = 70.0) -> str:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=120, height=height, no_color=True)
    table = LiveTable("talk.wav → 127.0.0.1:1", duration_s, console)
    for item in items:
        table.heard(item)
    table.sent(63.3)
    table.close()
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    return plain[plain.rindex("talk.wav") :]  # what stays on the screen: the last picture


def test_the_table_shows_utterances_position_and_state() -> None:
    text = live_text(session())
    row = next(line for line in text.splitlines() if "0:00.50-0:02.00" in line)
    assert row.split()[0] == "1"
    for part in ("happy", "0.81", "0.83", "OK", "256 ms", "12 ms"):
        assert part in row
    assert "model affect-test 1.2.3" in text
    assert "closed: END_OF_AUDIO" in text
    assert "1:03.3 / 1:10.0" in text
    assert "AUDIO_CLIPPED" in text


def test_the_table_has_a_column_for_each_dimension_of_the_model() -> None:
    assert "valence" not in live_text([started(("arousal",))])
    header = live_text([started(("valence", "arousal", "dominance"))])
    assert all(name in header for name in ("valence", "arousal", "dominance"))


def test_a_long_session_leaves_its_whole_table_behind() -> None:
    finals = [final(float(i), i + 0.5) for i in range(40)]
    text = live_text([started(), *finals, closed()], height=12, duration_s=None)
    assert sum("0:" in line and "angry" in line for line in text.splitlines()) == 40
    assert " / " not in text, "no length is known, so none is shown"


def test_summary_counts_and_measures() -> None:
    text = summary(
        [item for item in session() if "affect" in str(item.event.proto.WhichOneof("event"))], 65.0
    )
    lines = {line.split()[0]: " ".join(line.split()) for line in text.splitlines()}
    assert text.splitlines()[0] == "2 utterances in 1:05.0 of audio"
    assert lines["statuses"] == "statuses OK 1, ABSTAINED 1"
    assert lines["emotions"] == "emotions no clear emotion 2.2 s, happy 1.5 s"
    assert lines["arousal"] == "arousal 0.21 to 0.83, median 0.52"
    assert "median 21 ms, largest 30 ms" in lines["lag"]
    assert "valence" not in lines


def test_summary_of_silence() -> None:
    assert summary([], 3.0) == "0 utterances in 0:03.0 of audio"


@pytest.mark.parametrize("count", [0, 1, 60])
def test_the_picture_is_drawn_whatever_was_heard(tmp_path: Path, count: int) -> None:
    finals = [
        final(2.0 * i, 2.0 * i + 1.5, status=ABSTAINED if i % 3 else pb.AFFECT_STATUS_OK)
        for i in range(count)
    ]
    finals += [final(0.1, 0.2, "", status=pb.AFFECT_STATUS_MODEL_ERROR, arousal=None)]
    path = tmp_path / "timeline.png"
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, 16_000 * max(1, 2 * count)).astype(np.float32)
    draw_timeline(path, noise, 16_000, affect_events(finals), title="A talk", footnote="A note")
    picture = matplotlib.image.imread(path)
    assert picture.shape[0] > 900
    assert picture.shape[1] > 1800
    assert picture[..., :3].std() > 0.02, "something is drawn"


def test_the_picture_colours_an_utterance_by_its_emotion(tmp_path: Path) -> None:
    def orange(status: pb.AffectStatus.ValueType) -> int:
        path = tmp_path / "timeline.png"
        events = affect_events([final(0.5, 3.5, "angry", 1.0, status=status)])
        draw_timeline(path, np.zeros(64_000, np.float32), 16_000, events, title="", footnote="")
        rgb = (matplotlib.image.imread(path)[..., :3] * 255).round()
        return int(np.all(np.abs(rgb - (0xD5, 0x5E, 0x00)) < 3, axis=-1).sum())

    assert orange(pb.AFFECT_STATUS_OK) > 10 * max(orange(ABSTAINED), 1)


def summed_up(points: int = 3, dimensions: bool = True) -> Heard:
    message = pb.SessionSummary(utterances=points + 1, finals_by_status={"OK": points, "ABSTAINED": 1})
    message.abstained_share = 1 / (points + 1)
    message.audio_duration.FromMilliseconds(63_000)
    for label, seconds in (("neutral", 2), ("angry", 8)):
        message.states.add(label=label, utterances=2).speech_duration.seconds = seconds
    for number in range(points if dimensions else 0):
        point = message.trajectory.add(utterance_id=f"u{number}")
        point.audio_end.seconds = 60 + number
        point.dimensions.arousal = number / max(1, points - 1)
    if dimensions:
        message.peaks.add(dimension="arousal", highest=True, utterance_id=f"u{points - 1}", value=1.0)
        message.peaks.add(dimension="arousal", highest=False, utterance_id="thinned-out", value=0.0)
    return heard(pb.SessionEvent(session_summary=message))


def test_a_recap_says_how_the_session_went() -> None:
    event = summed_up().event
    assert isinstance(event, SessionSummary)
    assert recap(event) == [
        "4 utterances in 1:03.0 of audio: ABSTAINED 1, OK 3; 25% abstained",
        "  emotions   angry 8.0 s (2), neutral 2.0 s (2)",
        "  arousal    ▁▅█  lowest 0.00 at thinned-out, highest 1.00 at 1:02",
    ]
    bare = summed_up(dimensions=False).event
    assert isinstance(bare, SessionSummary)
    assert "arousal" not in "".join(recap(bare))
    many = summed_up(200).event
    assert isinstance(many, SessionSummary)
    assert len(recap(many)[-1]) < 120, "a terminal's width"


def test_every_view_ends_with_it() -> None:
    out = io.StringIO()
    PlainLines(out).heard(summed_up())
    assert "highest 1.00 at 1:02" in out.getvalue()
    assert "highest 1.00 at 1:02" in live_text([started(), final(1, 2), summed_up(), closed()])
    event = summed_up().event
    assert isinstance(event, SessionSummary)
    assert "highest 1.00 at 1:02" in summary([final(1, 2)], 65.0, event)


def test_what_is_unlike_the_speaker_and_the_tone_are_shown() -> None:
    message = pb.SessionEvent.FromString(final(1, 2, arousal=0.83).event.proto.SerializeToString())
    message.affect.change.arousal = 2.13
    message.affect.guidance.rule = "upset"
    out = io.StringIO()
    PlainLines(out).heard(heard(message))
    assert "arousal 0.83 +2.1 sd" in out.getvalue()
    assert "tone upset" in out.getvalue()
    assert "0.83 +2.1 sd" in live_text([started(), heard(message)])
