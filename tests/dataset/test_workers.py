"""How many workers there are where nobody says it, also in containers with a quota of the cores' time."""

import os
import threading
import time
from pathlib import Path

import pytest

from dataset import workers
from dataset.workers import available_cores, cores_of_each, default_workers, thread_pool


@pytest.mark.parametrize(
    ("cores", "sharing", "each", "expected"),
    [(1, 1, 1, 1), (4, 1, 4, 4), (4, 2, 2, 2), (7, 2, 3, 3), (2, 8, 1, 1), (64, 1, 64, 8), (64, 4, 16, 8)],
)
def test_there_is_a_worker_for_each_core_of_a_share_but_never_none_or_more_than_eight(
    monkeypatch: pytest.MonkeyPatch, cores: int, sharing: int, each: int, expected: int
) -> None:
    monkeypatch.setattr(workers, "available_cores", lambda: cores)
    assert (cores_of_each(sharing), default_workers(sharing)) == (each, expected)


def test_only_cores_that_this_process_may_use_count(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 5, 9}, raising=False)
    assert available_cores() == 3


def test_what_a_pool_has_not_begun_is_dropped_when_its_block_is_left() -> None:
    begun = threading.Event()
    done: list[int] = []

    def work(number: int) -> None:
        begun.set()
        time.sleep(0.05)
        done.append(number)

    with thread_pool(1) as pool:
        futures = [pool.submit(work, number) for number in range(1000)]
        begun.wait()
    assert len(done) < 10
    assert futures[-1].cancelled()


@pytest.fixture
def eight_cores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the root of a machine of eight cores, without control groups so far."""
    monkeypatch.setattr(workers, "_ROOT", tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    return tmp_path


def put_into_groups(root: Path, groups: str) -> None:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/cgroup").write_text(groups)


def test_without_control_groups_all_cores_count(eight_cores: Path) -> None:
    assert available_cores() == 8


@pytest.mark.parametrize(
    ("quota", "expected"),
    [("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("1600000 100000", 8), ("max 100000", 8)],
)
@pytest.mark.parametrize("group", ["", "docker/1a", "docker/1a/job"])
def test_version_2_limits_the_group_and_all_inside(quota: str, expected: int, group: str, eight_cores: Path) -> None:
    put_into_groups(eight_cores, f"0::/{group}\n")
    (eight_cores / "sys/fs/cgroup" / group).mkdir(parents=True)
    (eight_cores / "sys/fs/cgroup/cpu.max").write_text(f"{quota}\n")
    assert available_cores() == expected


def test_version_2_takes_the_smallest_limit_on_the_way(eight_cores: Path) -> None:
    put_into_groups(eight_cores, "0::/a/b\n")
    (eight_cores / "sys/fs/cgroup/a/b").mkdir(parents=True)
    (eight_cores / "sys/fs/cgroup/a/cpu.max").write_text("300000 100000\n")
    (eight_cores / "sys/fs/cgroup/a/b/cpu.max").write_text("500000 100000\n")
    assert available_cores() == 3


@pytest.mark.parametrize("controllers", ["cpu", "cpu,cpuacct", "cpuacct,cpu"])
@pytest.mark.parametrize("inside", ["", "docker/1a"])  # what a container sees of its group depends on how it was made
def test_version_1(controllers: str, inside: str, eight_cores: Path) -> None:
    put_into_groups(eight_cores, f"5:memory:/docker/1a\n4:{controllers}:/docker/1a\n0::/docker/1a\n")
    folder = eight_cores / "sys/fs/cgroup" / controllers / inside
    folder.mkdir(parents=True)
    (folder / "cpu.cfs_period_us").write_text("50000\n")
    (folder / "cpu.cfs_quota_us").write_text("-1\n")
    assert available_cores() == 8
    (folder / "cpu.cfs_quota_us").write_text("150000\n")
    assert available_cores() == 3


def test_what_is_no_quota_is_none(eight_cores: Path) -> None:
    put_into_groups(eight_cores, "0::/\n")
    (eight_cores / "sys/fs/cgroup").mkdir(parents=True)
    for text in ("", "nonsense\n", "100000 0\n", "0 100000\n", "1 2 3\n"):
        (eight_cores / "sys/fs/cgroup/cpu.max").write_text(text)
        assert available_cores() == 8
