"""How many cores a process may use, in containers with a quota of their time."""

import os
from pathlib import Path

import pytest

from dataset import workers
from dataset.workers import available_cores


@pytest.fixture(autouse=True)
def _eight_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def write(root: Path, **files: str) -> None:
    """Write files, `__` for the slashes in their names."""
    for name, text in files.items():
        path = root / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_without_control_groups_all_cores_count() -> None:
    assert available_cores() == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8), ("max 100000", 8)],
)
@pytest.mark.parametrize("group", ["", "docker/1a", "docker/1a/job"])
def test_version_2_limits_the_group_and_all_inside(quota: str, expected: int, group: str, tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup=f"0::/{group}\n")
    (tmp_path / "sys/fs/cgroup" / group).mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text(f"{quota}\n")
    assert available_cores() == expected


def test_version_2_takes_the_smallest_limit_on_the_way(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="0::/a/b\n")
    (tmp_path / "sys/fs/cgroup/a/b").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/a/cpu.max").write_text("300000 100000\n")
    (tmp_path / "sys/fs/cgroup/a/b/cpu.max").write_text("500000 100000\n")
    assert available_cores() == 3


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
@pytest.mark.parametrize("inside", ["", "docker/1a"])  # what a container sees of its group depends on how it was made
def test_version_1(controllers: str, inside: str, tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup=f"5:memory:/docker/1a\n4:{controllers}:/docker/1a\n0::/docker/1a\n")
    folder = tmp_path / "sys/fs/cgroup" / controllers / inside
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("50000\n")
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert available_cores() == 8
    (folder / "cpu.cfs_quota_us").write_text("150000\n")
    assert available_cores() == 3


def test_what_is_no_quota_is_none(tmp_path: Path) -> None:
    write(tmp_path, proc__self__cgroup="0::/\n")
    (tmp_path / "sys/fs/cgroup").mkdir(parents=True)
    for text in ("", "nonsense\n", "100000 0\n", "0 100000\n", "1 2 3\n"):
        (tmp_path / "sys/fs/cgroup/cpu.max").write_text(text)
        assert available_cores() == 8
