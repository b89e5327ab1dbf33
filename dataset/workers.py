"""How many threads or processes work at once, where nobody says it."""

import os

MOST_WORKERS = 8


def available_cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def cores_of_each(sharing: int) -> int:
    """Return how many cores there are for each of `sharing` processes on this machine: at least one."""
    return max(1, available_cores() // sharing)


def default_workers(sharing: int = 1) -> int:
    """Return how many workers read photographs for each of `sharing` users of this machine: one a core, at most 8."""
    return min(MOST_WORKERS, cores_of_each(sharing))
