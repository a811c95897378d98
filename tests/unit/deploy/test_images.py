"""The Dockerfiles: what is installed by its hash, who runs it, and what is left out."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tools.images import FILES, LEFT_OUT, Image, StepFailed, instructions

ROOT = Path(__file__).resolve().parents[3]
EXACT = re.compile(r":(v?\d+\.\d+\.\d+[\w.-]*|\d\d\.\d\d-py3)$")
"""The end of an image's name that stays the same image, patches and all; of NVIDIA's, its month."""
SECRETS = re.compile(r"TOKEN|SECRET|PASSWORD|_KEY\b|API_KEY", re.IGNORECASE)


def last_stage(file: Path) -> list[tuple[str, str]]:
    """What the image that runs is made of."""
    found = instructions(file)
    begins = max(place for place, (word, _) in enumerate(found) if word == "FROM")
    return found[begins:]


@pytest.mark.fault("container")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_an_image_runs_as_nobody_in_particular_and_stays_so(file: Path) -> None:
    words = [word for word, _ in last_stage(file)]
    users = [rest for word, rest in last_stage(file) if word == "USER"]
    assert users == ["1000:1000"]
    after = words[words.index("USER") + 1 :]
    assert not {"RUN", "COPY", "ADD"} & set(after), "nothing is written as another user afterwards"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_images_begin_at_exact_tags_and_take_nothing_by_address(file: Path) -> None:
    for word, rest in instructions(file):
        assert word != "ADD", "COPY says what it does"
        if word == "FROM":
            assert EXACT.search(rest.split()[0]), rest
        if word == "RUN":
            assert not re.search(r"\b(curl|wget|sudo|apt-get|git)\b", rest)


@pytest.mark.fault("supply chain")
@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_what_an_image_installs_has_a_hash_or_is_this_checkout_or_a_gpu_s(file: Path) -> None:
    commands = [
        part.strip() for word, rest in instructions(file) if word == "RUN" for part in rest.split("&&")
    ]
    installs = [command for command in commands if re.search(r"\bpip\b.*\binstall\b", command)]
    assert installs
    for command in installs:
        by_hash = "--require-hashes --no-deps -r constraints/locked/" in command
        here = command.endswith("--no-deps --no-build-isolation .")
        gpu = re.search(r'(constraints/models\.txt torch|"tensorrt==.*")$', command)
        assert by_hash or here or gpu, command
        assert "--no-cache-dir" in command
        for lock in re.findall(r"constraints/locked/\S+", command):
            assert (ROOT / lock).exists()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_no_image_carries_a_secret_or_the_whole_checkout(file: Path) -> None:
    for word, rest in instructions(file):
        if word in ("ENV", "ARG", "LABEL"):
            assert not SECRETS.search(rest), rest
        if word == "COPY":
            assert rest.split()[0] not in (".", "./", "/", "tests", "access")


def let_in(path: str) -> bool:
    """Whether a build is given what lies there, as Docker reads `.dockerignore`: the last line that fits."""
    given = True
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#"):
            pattern = (
                line.removeprefix("!").replace("**/", "\0").replace("*", "[^/]*").replace("\0", "(.*/)?")
            )
            if re.fullmatch(f"{pattern}(/.*)?", path):
                given = line.startswith("!")
    return given


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_a_build_is_given_all_that_it_copies(file: Path) -> None:
    for word, rest in instructions(file):
        if word == "COPY" and not rest.startswith("--from="):
            command = ["git", "ls-files", *rest.split()[:-1]]
            listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True, timeout=30)
            files = listed.stdout.split()
            assert files
            assert [each for each in files if not let_in(each)] == []


@pytest.mark.fault("container")
@pytest.mark.parametrize(
    "path",
    [
        ".env",
        ".git/config",
        ".venv/bin/python",
        "access/server.key",
        "runs/a/model.pt",
        "tests/conftest.py",
        "deploy/redis.conf",
        "server/affectstream_server/__pycache__/info.cpython-312.pyc",
        "triton_repo/meralion_ser/1/model.plan",
    ],
)
def test_a_build_is_given_no_secret_and_nothing_that_was_made_here(path: str) -> None:
    assert not let_in(path)


def test_the_service_s_image_holds_no_sources_no_pip_and_no_compiler() -> None:
    """The environment comes from another stage, made without pip."""
    stage = last_stage(ROOT / "deploy/server.Dockerfile")
    copied = [rest for word, rest in stage if word == "COPY"]
    assert copied == ["--from=build /opt/affectstream /opt/affectstream", "triton_repo triton_repo"]
    assert not any("pip" in rest for word, rest in stage if word == "RUN")
    build = instructions(ROOT / "deploy/server.Dockerfile")
    assert any("venv --without-pip /opt/affectstream" in rest for word, rest in build if word == "RUN")
    froms = [rest.split()[0] for word, rest in build if word == "FROM"]
    assert len(set(froms)) == 1, "the environment names the Python that it was made with"


MADE = """\
FROM python:3.12.1-slim AS build
WORKDIR /app
COPY notes.txt texts/ ./
RUN python -c "import sys; print(sys.prefix)" > made.txt \\
 && pip install --no-cache-dir torch
FROM python:3.12.1-slim
ENV GREETING=/opt/hello
WORKDIR /app
COPY --from=build /app/made.txt /opt/made.txt
COPY texts texts
RUN test -s /opt/made.txt && test "$GREETING" = /opt/hello && test ! -e notes.txt
USER 1000:1000
RUN ls /app/nothing
"""


@pytest.mark.timeout(120)
def test_steps_are_carried_out_stage_by_stage_and_what_is_left_out_is_said(tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/a.txt").write_text("a")
    (tmp_path / "notes.txt").write_text("n")
    (tmp_path / "made").mkdir()
    (tmp_path / "Dockerfile").write_text(MADE)
    steps: dict[str, str] = {}
    with pytest.raises(StepFailed, match=r"Dockerfile: sh -ec ls .*/app/nothing\n(.*\n)*.*No such file"):
        for step, became in Image(tmp_path / "Dockerfile", tmp_path / "made", tmp_path).steps():
            steps |= {step: became}
    assert steps["RUN pip install --no-cache-dir torch"].startswith("left out: ")
    assert steps["USER 1000:1000"].startswith("left out: ")
    assert [step for step, became in steps.items() if became == "done"] == [
        "COPY notes.txt texts/ ./",
        'RUN python -c "import sys; print(sys.prefix)" > made.txt',
        "COPY --from=build /app/made.txt /opt/made.txt",
        "COPY texts texts",
        "RUN test -s /opt/made.txt",
        'RUN test "$GREETING" = /opt/hello',
        "RUN test ! -e notes.txt",
    ]
    assert (tmp_path / "made/root/app/texts/a.txt").exists()
    assert str(tmp_path / "made/python") in (tmp_path / "made/root/opt/made.txt").read_text(), "not this one"


def test_only_what_the_base_image_of_a_gpu_has_is_left_out() -> None:
    commands = [
        part.strip()
        for file in FILES
        for word, rest in instructions(file)
        if word == "RUN"
        for part in rest.split("&&")
    ]
    left_out = [command for command in commands if any(re.search(each, command) for each in LEFT_OUT)]
    assert len(left_out) == len(LEFT_OUT) == 2
