"""Batches from the processes of a DataLoader, and what to do where one of them is killed or has no room."""

import contextlib
import errno
import os
import re
import signal
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from multiprocessing import RawArray
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from torch.utils.data import DataLoader, get_worker_info

from dataset.command import CommandError, LostProcessError
from dataset.interrupts import left_to_this_process
from dataset.layouts import Sample
from dataset.options import WORKERS

Batch = TypeVar("Batch")

_NO_ROOM = re.compile(r"bus error|/torch_|shared memory|\bshm\b|no space left on device", re.IGNORECASE)
_NO_FILES = re.compile(r"too many open files|ancdata", re.IGNORECASE)
_WORKER_GONE = re.compile(r"^DataLoader worker \(pid(?:\(s\))? (?P<pids>[\d, ]+)\) (?P<how>[^.]*)")
_NO_ROOM_ADVICE = (
    "the processes that read photographs have too little shared memory (/dev/shm). In Docker start the container with "
    "--shm-size 8g, or read without such processes: --num-workers 0"
)
_NO_FILES_ADVICE = (
    "the processes that read photographs have too many files open; raise the limit (ulimit -n 65536), or choose a "
    "smaller --num-workers"
)


class PhotographsAtHand:
    """Which sample each process of a loader is at, in memory that they share with the one that started them."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        self._samples = samples
        self._table = RawArray("q", 2 * WORKERS.highest)  # process id and index, by the worker's number

    def note(self, index: int) -> None:
        """Remember that this process now reads a sample."""
        worker = get_worker_info()
        if worker is not None and worker.id < WORKERS.highest:
            self._table[2 * worker.id : 2 * worker.id + 2] = [os.getpid(), index]

    def of(self, process: int) -> str | None:
        """Return the path of the photograph that a process is, or was, at."""
        pairs = dict(zip(self._table[::2], self._table[1::2], strict=True))
        return str(self._samples[pairs[process]].image_path) if process in pairs else None


@contextlib.contextmanager
def batches_of(loader: DataLoader[Batch]) -> Iterator[Iterator[Any]]:
    """Give a `with` block the batches of a DataLoader of crops, whose processes may fail while others work on them.

    Raises LostProcessError, with the photographs that it was at, where one was killed; CommandError where they have
    too little shared memory, which is what Docker gives a container, or too few files.
    """
    try:
        with left_to_this_process():
            batches = iter(loader)
    except OSError as error:
        # The semaphores of its queues lie there, too; the error does not name a file.
        raise CommandError(_NO_ROOM_ADVICE) if loader.num_workers and error.errno == errno.ENOSPC else error from error
    try:
        yield batches
    except RuntimeError as error:
        workers = getattr(batches, "_workers", ())
        ends = {worker.pid: worker.exitcode for worker in workers}
        explanation = _explained(str(error), ends, getattr(loader.dataset, "at_hand", None))
        if explanation is None:
            raise
        end_at_once(workers)  # they may wait for locks that the killed one had
        raise explanation from error


def end_at_once(workers: Iterable[BaseProcess]) -> None:
    """End processes of loaders, which leave SIGTERM to the program, without waiting for them."""
    if hasattr(signal, "SIGCHLD") and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # PyTorch's handler would report them as crashed
    for worker in workers:
        worker.kill()


def _explained(
    error: str, ends: Mapping[int | None, int | None], at_hand: PhotographsAtHand | None
) -> CommandError | None:
    """Return what an error of a loader's processes, with these exit codes, means to people; None for all others."""
    gone = _WORKER_GONE.match(error)
    if gone is None and "DataLoader worker process" not in error and "/torch_" not in error:
        return None
    if _NO_FILES.search(error):
        return CommandError(_NO_FILES_ADVICE)
    pids = [int(number) for number in gone["pids"].split(",")] if gone else []
    codes = {ends.get(pid) for pid in pids}
    if _NO_ROOM.search(error) or -signal.SIGBUS in codes:
        return CommandError(_NO_ROOM_ADVICE)
    if gone is None:
        return None
    names = ", ".join(f"'{path}'" for pid in pids if at_hand and (path := at_hand.of(pid))) or "no photograph yet"
    how = "killed, as Linux does where the memory is full" if -signal.SIGKILL in codes else f"ended ({gone['how']})"
    return LostProcessError(
        f"a process that reads photographs was {how}; it was at {names}. If that is no extraordinarily large picture, "
        "choose a smaller --num-workers"
    )
