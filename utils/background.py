"""Work that goes on beside the main thread: results fetched ahead of it, and work left to other threads."""

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from dataset.workers import thread_pool

T = TypeVar("T")


@contextlib.contextmanager
def prefetch(tasks: Iterable[Callable[[], T]], *, workers: int, depth: int) -> Iterator[Iterator[T]]:
    """Give an iterator over the results of tasks, in their order, of which up to `depth` are done ahead.

    Tasks run in `workers` threads. What a task raises comes out of the iterator in its place.
    """

    def results() -> Iterator[T]:
        remaining = iter(tasks)
        waiting = deque(pool.submit(task) for task in itertools.islice(remaining, depth))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(pool.submit(task) for task in itertools.islice(remaining, 1))
            yield result

    with thread_pool(workers) as pool:
        yield results()


class BoundedExecutor(ThreadPoolExecutor):
    """Leave work to `workers` threads, up to `depth` pieces of it waiting; used as a context manager.

    Leaving the context waits for all of it; leaving it by an exception waits for what has begun and drops the rest.
    What a piece raises comes out of a later `submit`, or at the end.
    """

    def __init__(self, *, workers: int, depth: int) -> None:
        super().__init__(workers)
        self._depth = depth
        self._waiting: deque[Future[Any]] = deque()

    def submit(self, work: Callable[..., T], /, *arguments: Any, **options: Any) -> Future[T]:
        """Leave a piece of work; waits while there is too much of it already."""
        while len(self._waiting) >= self._depth:
            self._waiting.popleft().result()
        self._waiting.append(super().submit(work, *arguments, **options))
        return self._waiting[-1]

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self.shutdown(cancel_futures=kind is not None)
        if kind is None:
            for work in self._waiting:
                work.result()
