"""How many threads or processes work at once, where nobody says it."""

import contextlib
import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath

MOST_WORKERS = 8
_ROOT = Path("/")


def available_cores() -> int:
    """Return how many cores this process may use, at least 1; a container's quota of 1.5 cores counts as 2."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, math.ceil(min([cores, *_quotas()])))


def cores_of_each(sharing: int) -> int:
    """Return how many cores there are for each of `sharing` processes on this machine: at least one."""
    return max(1, available_cores() // sharing)


def default_workers(sharing: int = 1) -> int:
    """Return how many workers read photographs for each of `sharing` users of this machine: one a core, at most 8."""
    return min(MOST_WORKERS, cores_of_each(sharing))


@contextlib.contextmanager
def thread_pool(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a `with` block a pool of threads; what they have not begun when it is left, by Ctrl-C, say, is dropped."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def _quotas() -> list[float]:
    """Return the limits, in cores, that Linux' control groups set to this process; empty without any.

    Each group is limited by those around it, too. In a container its own group is often the mounted one itself,
    whatever path the process is said to have. See cgroups(7) and the kernel's cgroup-v2.rst and sched-bwc.rst.
    """
    try:
        lines = (_ROOT / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and "cpu" not in controllers.split(","):
            continue
        inside = PurePosixPath(path.lstrip("/"))
        # Version 2 has one tree without names of controllers, beside those of version 1 it is called unified.
        for mount in (controllers or ".", "cpu" if controllers else "unified"):
            quotas += [_quota(_ROOT / "sys/fs/cgroup" / mount / group) for group in (inside, *inside.parents)]
    return quotas


def _quota(group: Path) -> float:
    """Return the limit that one group sets, in cores; infinity where it sets none."""
    for files in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        try:
            quota, period = " ".join((group / file).read_text() for file in files).split()
            if int(quota) > 0 and int(period) > 0:  # -1 is none in version 1
                return int(quota) / int(period)
        except (OSError, ValueError):  # no such group or file, or "max", which is none in version 2
            continue
    return math.inf
