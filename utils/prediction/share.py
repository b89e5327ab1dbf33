"""Several processes in one run of `predict.py`, as `run_predict.sh` starts them: each does its share of the inputs."""

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from typing import Any, NamedTuple, TypeVar

import torch.distributed as dist

from utils.distributed import from_main, leaving_processes, start_processes

T = TypeVar("T")

_PATIENCE = timedelta(days=30)
"""How long the processes wait for each other: one may have a long video when the others are done."""


class Share(NamedTuple):
    """This process among those of the run; without torchrun it is the only one, and does everything.

    device: the one that was asked for; where there are several processes, this one's own.
    """

    rank: int
    world_size: int
    local_world_size: int
    device: str | None
    group: Any = None

    @property
    def is_main(self) -> bool:
        return self.rank == 0

    def of(self, items: Sequence[T]) -> Sequence[T]:
        """Return every n-th of what there is for n processes, so that each gets as many early as late ones."""
        return items[self.rank :: self.world_size]

    def from_main(self, work: Callable[[], T]) -> T:
        """Return what `work` returns in the main process, to every process, or raise its error in each."""
        return from_main(work, self.group)

    def gather(self, items: list[T]) -> list[T]:
        """Return the items of all processes, to every process, when all are here."""
        if self.group is None:
            return items
        gathered: list[Any] = [None] * self.world_size
        dist.all_gather_object(gathered, items, group=self.group)
        return [item for part in gathered for item in part]


@contextlib.contextmanager
def shared_run(device: str | None) -> Iterator[Share]:
    """Join the processes of this run, if torchrun has started several. Raises ValueError as `start_processes` does."""
    if "RANK" not in os.environ:
        yield Share(0, 1, 1, device)
        return
    with leaving_processes():
        processes = start_processes(device)
        group = dist.new_group(backend="gloo", timeout=_PATIENCE)
        yield Share(processes.rank, processes.world_size, processes.local_world_size, str(processes.device), group)
