"""How many processes `auto` is: a container's CPU quota counts, as the kernel tells of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from affectstream_server.cores import cores, quota

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="control groups are Linux's")


@pytest.fixture(autouse=True)
def _eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


V2 = {"proc/self/cgroup": "0::/"}
V1 = {"proc/self/cgroup": "4:memory:/docker/1f\n3:cpu,cpuacct:/docker/1f\n0::/docker/1f"}


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        ("200000 100000", 2),
        ("400000 100000", 4),
        ("250000 100000", 2),
        ("99000 100000", 1),
        ("10000 100000", 1),
        ("50000 10000", 5),
        ("3200000 100000", 8),
        ("max 100000", 8),
        ("", 8),
        ("what is this", 8),
        ("1 2 3", 8),
        ("100000 0", 8),
    ],
)
def test_of_a_container_whole_cores_count_and_no_more_than_there_are(
    tmp_path: Path, limit: str, count: int
) -> None:
    assert cores(write(tmp_path, {**V2, "sys/fs/cgroup/cpu.max": limit})) == count


def test_the_narrowest_group_around_it_counts(tmp_path: Path) -> None:
    """A pod's limit is around its container's; systemd's slices are around a unit."""
    root = write(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod.slice/service/main",
            "sys/fs/cgroup/pod.slice/cpu.max": "300000 100000",
            "sys/fs/cgroup/pod.slice/service/cpu.max": "max 100000",
            "sys/fs/cgroup/pod.slice/service/main/cpu.max": "600000 100000",
        },
    )
    assert quota(root) == 3.0
    assert cores(root) == 3


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("group", ["", "docker/1f/"])
def test_the_older_groups_count_under_both_of_their_names(tmp_path: Path, mount: str, group: str) -> None:
    """In the container the group's own folder is the outermost, though its name is that of the host."""
    folder = f"sys/fs/cgroup/{mount}/{group}"
    limit = {f"{folder}cpu.cfs_quota_us": "350000", f"{folder}cpu.cfs_period_us": "100000"}
    root = write(tmp_path, {**V1, **limit})
    assert quota(root) == 3.5
    assert cores(root) == 3


def test_the_older_groups_say_minus_one_for_no_limit(tmp_path: Path) -> None:
    folder = "sys/fs/cgroup/cpu/"
    none = {f"{folder}cpu.cfs_quota_us": "-1", f"{folder}cpu.cfs_period_us": "100000"}
    root = write(tmp_path, {**V1, **none})
    assert quota(root) is None
    assert cores(root) == 8


def test_a_group_whose_path_leads_out_of_what_is_seen_is_read_where_it_is(tmp_path: Path) -> None:
    root = write(tmp_path, {"proc/self/cgroup": "0::/../other", "sys/fs/cgroup/cpu.max": "200000 100000"})
    assert quota(root) == 2.0


def test_without_control_groups_there_is_no_quota(tmp_path: Path) -> None:
    assert quota(tmp_path) is None
    assert cores(tmp_path) == 8
