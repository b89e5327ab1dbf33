"""Threads in which PyTorch computes on so many cores each."""

import contextlib
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import torch

_setting = threading.Lock()


@contextlib.contextmanager
def cpu_threads(workers: int, cores_each: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads in each of which PyTorch computes on so many cores; outside it nothing changes.

    PyTorch has one number of threads for each thread that has computed, and one for all that have not yet. Setting the
    one sets the other, too, which is put back before the pool is used: whoever begins to compute meanwhile keeps the
    number found then.
    """
    started = threading.Barrier(workers + 1)

    def start() -> None:
        torch.get_num_threads()  # a thread's first use of PyTorch gives it the common number, even after it was set
        torch.set_num_threads(cores_each)
        started.wait()

    with ThreadPoolExecutor(workers, initializer=start) as pool:
        with _setting, ThreadPoolExecutor(1) as bystander:
            threads = bystander.submit(torch.get_num_threads).result()
            for _ in range(workers):
                pool.submit(int)  # starts a thread
            started.wait()
            bystander.submit(torch.set_num_threads, threads).result()
        yield pool
