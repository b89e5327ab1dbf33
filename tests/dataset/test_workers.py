"""How many workers there are where nobody says it."""

import threading
import time

import pytest

import dataset.workers
from dataset.workers import available_cores, cores_of_each, default_workers, thread_pool


@pytest.mark.parametrize(
    ("cores", "sharing", "each", "workers"),
    [(1, 1, 1, 1), (4, 1, 4, 4), (4, 2, 2, 2), (7, 2, 3, 3), (2, 8, 1, 1), (64, 1, 64, 8), (64, 4, 16, 8)],
)
def test_there_is_a_worker_for_each_core_of_a_share_but_never_none_or_more_than_eight(
    monkeypatch: pytest.MonkeyPatch, cores: int, sharing: int, each: int, workers: int
) -> None:
    monkeypatch.setattr(dataset.workers, "available_cores", lambda: cores)
    assert (cores_of_each(sharing), default_workers(sharing)) == (each, workers)


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
