"""`affectstream tone`: what is wrong with a policy, and what it would have said."""

from __future__ import annotations

from pathlib import Path

import pytest
from google.protobuf.json_format import MessageToJson

from affectstream.cli import main
from affectstream.tone import built_in_text
from affectstream.v1 import affect_pb2 as pb
from tests.unit.tone.policies import rule, source


def final(number: int, angry: float, status: pb.AffectStatus.ValueType = pb.AFFECT_STATUS_OK) -> str:
    event = pb.AffectEvent(utterance_id=f"s.0.{number}", status=status, stage=pb.STAGE_FINAL)
    event.audio_end.FromMilliseconds(4_000 * number)
    event.emotions.add(label="angry", probability=angry)
    return MessageToJson(pb.SessionEvent(affect=event), indent=None)


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    path = tmp_path / "policy.yaml"
    path.write_text(source(rule(), name="mine"))
    return path


def test_show_prints_what_can_be_copied(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    assert main(["tone", "show"]) == 0
    assert capsys.readouterr().out == built_in_text()
    assert main(["tone", "show", str(policy)]) == 0
    assert capsys.readouterr().out == policy.read_text()
    assert main(["tone", "show", "sensitive"]) == 0
    assert "name: sensitive" in capsys.readouterr().out
    assert main(["tone", "show", "--session", "x"]) == 2


def test_check_says_that_it_can_be_used(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    assert main(["tone", "check"]) == 0
    assert main(["tone", "check", "sensitive"]) == 0
    assert main(["tone", "check", str(policy)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "default: 8 rules in en, de; it can be used",
        "sensitive: 4 rules in en; it can be used",
        "mine: 1 rule in en; it can be used",
    ]


def test_check_names_every_problem_and_fails(capsys: pytest.CaptureFixture[str], policy: Path) -> None:
    policy.write_text(source(rule(style_tags=["clam"], priority=-1)))
    assert main(["tone", "check", str(policy)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 2
    assert all(line.startswith(f"{policy}: line ") for line in lines)


def test_a_session_is_played_and_every_change_told_with_its_reason(
    capsys: pytest.CaptureFixture[str], policy: Path, tmp_path: Path
) -> None:
    session = tmp_path / "session.jsonl"
    unsure = final(4, 0.0, pb.AFFECT_STATUS_ABSTAINED)
    other = MessageToJson(pb.SessionEvent(progress=pb.Progress()), indent=None)
    newer = '{"sessionId": "s", "whatComesLater": {}}'
    lines = [newer, other, final(1, 0.2), final(2, 0.83), final(3, 0.5), unsure, "", final(5, 0.1)]
    session.write_text("\n".join(lines))
    assert main(["tone", "check", str(policy), "--session", str(session)]) == 0
    assert [line.strip() for line in capsys.readouterr().out.splitlines()[1:]] == [
        "0:08.00  s.0.2: upset: probability of angry 0.83 >= 0.6",
        "It may sound upset. [calm]",
        "0:20.00  s.0.5: upset ended: probability of angry 0.10 < 0.4",
        "nothing to say",
        "1 change after the first, over 5 utterances of which 4 may be acted on",
    ]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "none.yaml"], "cannot read none.yaml: no such file or directory"),
        (["check", "default", "--session", "none.jsonl"], "cannot read none.jsonl: no such file"),
        (["check", "default", "--session", "bad.jsonl"], "bad.jsonl, line 2: no event; record with"),
    ],
)
def test_what_cannot_be_read_is_named(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.jsonl").write_text(final(1, 0.5) + "\nnonsense\n")
    assert main(["tone", *arguments]) == 2
    assert told in capsys.readouterr().err
