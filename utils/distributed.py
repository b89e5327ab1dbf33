"""One process or many: everything that knows about torch.distributed."""

import contextlib
import ipaddress
import os
import re
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor, nn

from dataset.command import SECONDS_FOR_THE_FIRST, CommandError, LostProcessError
from dataset.files import show
from utils.device import choose_device

T = TypeVar("T")

_LOST = re.compile(r"gloo|connection (was )?(closed|reset|refused)|broken pipe|nccl", re.IGNORECASE)


class Processes(NamedTuple):
    """This process among those of the run (`torchrun` sets them up; without it there is one)."""

    rank: int
    world_size: int
    local_world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        return self.rank == 0


def start_processes(device: str | None = None) -> Processes:
    """Join the run's processes and choose this one's device: its own GPU where there are GPUs, else the CPU.

    `device` ("cpu", "cuda", "cuda:1") overrides the choice. Raises ValueError for a device that is not there, and for
    "mps".
    """
    rank, world_size = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    local_rank = int(os.environ.get("LOCAL_RANK", 0))
    local_world_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    chosen = choose_device(device)
    if chosen.type == "cuda" and chosen.index is None:
        if local_rank >= torch.cuda.device_count():
            raise ValueError(
                f"{local_world_size} processes were started here, but there are {torch.cuda.device_count()} GPUs; "
                "start one process per GPU, or add --device cpu"
            )
        chosen = torch.device("cuda", local_rank)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    if "RANK" in os.environ:
        if world_size > local_world_size and "GLOO_SOCKET_IFNAME" not in os.environ:
            _warn_of_own_address()
        # Both backends: gradients travel by NCCL, the few numbers that live on the CPU by gloo.
        backend = "cpu:gloo,cuda:nccl" if chosen.type == "cuda" else "gloo"
        store, rank, world_size = next(dist.rendezvous("env://"))
        if world_size == local_world_size:
            # torchrun keeps its store when it restarts the processes after a crash; the addresses that the dead ones
            # left in it must not be found. (On several machines `run.sh` tells torchrun to make a new store.)
            store = dist.PrefixStore(f"start_{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store)
        elif "NODE_RANK" in os.environ:
            rank = _rank_by_machine(store, rank, world_size, os.environ["NODE_RANK"])
        dist.init_process_group(backend, store=store, rank=rank, world_size=world_size)
    return Processes(rank, world_size, local_world_size, chosen)


def _rank_by_machine(store: dist.Store, rank: int, world_size: int, machine: str) -> int:
    """Return this process's rank when the processes are counted machine by machine.

    torchrun counts the machines as they come; but snapshots and messages are expected on the first.
    """
    store.set(f"machine_of_{rank}", machine)
    machines = [int(store.get(f"machine_of_{other}")) for other in range(world_size)]
    return sorted(range(world_size), key=lambda other: (machines[other], other)).index(rank)


def _warn_of_own_address() -> None:
    """Say so if gloo will tell the other machines an address at which each of them finds itself."""
    name = socket.gethostname()
    try:
        address = str(socket.getaddrinfo(name, None)[0][4][0])
        if not ipaddress.ip_address(address.partition("%")[0]).is_loopback:
            return
    except OSError:
        address = "no address"
    show(
        f"Other machines may not reach this one: its name, {name}, stands for {address} here (see /etc/hosts). If so, "
        "set GLOO_SOCKET_IFNAME to the network interface that they reach (`ip address` lists them), such as eth0.",
        to=sys.stderr,
    )


def launch_id() -> str | None:
    """Return what names this start of torchrun, the same after each restart; None without torchrun."""
    run = os.environ.get("TORCHELASTIC_RUN_ID")
    return None if run is None else f"{run} by process {os.getppid()} on {socket.gethostname()}"


@contextlib.contextmanager
def leaving_processes() -> Iterator[None]:
    """Leave the run's processes at the end of a `with` block, whichever it is.

    Where another process is gone, this one waits for torchrun to end it: the other has said, or will say, why. Raises
    LostProcessError where that does not happen.
    """
    try:
        yield
    except RuntimeError as error:
        # gloo's errors are plain RuntimeErrors, told by their words, which a CommandError may have in a path.
        lost = isinstance(error, dist.DistError) or bool(_LOST.search(str(error)))
        if "RANK" not in os.environ or not lost or isinstance(error, CommandError):
            raise
        time.sleep(3 * SECONDS_FOR_THE_FIRST)
        raise LostProcessError("the connection to another process of this run broke; it may say why itself") from error
    finally:
        if dist.is_initialized():
            dist.destroy_process_group()


def print_from_main(text: str) -> None:
    """Print a line from the main process alone."""
    if not dist.is_initialized() or dist.get_rank() == 0:
        show(text)


def from_main(work: Callable[[], T], group: dist.ProcessGroup | None = None) -> T:
    """Do something in the main process alone; every process gets its result, or raises its error for people.

    Every process must call it. Without it an error in one would leave the others waiting. `group`, of all processes,
    says how long they wait; the default is half an hour.
    """
    outcome: list[Any] = [None, None]
    if not dist.is_initialized() or dist.get_rank() == 0:
        try:
            outcome[0] = work()
        except (ValueError, OSError, CommandError) as error:
            outcome[1] = error
    if dist.is_initialized():
        dist.broadcast_object_list(outcome, src=0, group=group, device=torch.device("cpu"))
        reduce_flags([False])  # all wait for all; see `_last_reduced`: the broadcast's tensors are gone by then
    if outcome[1] is not None:
        raise outcome[1]
    return outcome[0]


def reduce_flags(flags: Sequence[bool]) -> list[bool]:
    """Return which flags are set in any process. Every process must call it."""
    return [bool(flag) for flag in _reduce(torch.tensor(flags, dtype=torch.int32), dist.ReduceOp.MAX)]


def reduce_sum(values: NDArray) -> NDArray:
    """Return the sum of an array over the processes. Every process must call it."""
    return _reduce(torch.from_numpy(np.array(values)), dist.ReduceOp.SUM).numpy()


_last_reduced: deque[Tensor] = deque(maxlen=4)
"""Keeps tensors alive that gloo's threads may still hold: in PyTorch 2.6 a thread that was the last to drop one would
wait for the GIL, and the end of the process group, which has the GIL, for the thread."""


def _reduce(tensor: Tensor, operation: dist.ReduceOp.RedOpType) -> Tensor:
    if dist.is_initialized():
        dist.all_reduce(tensor, operation)
        _last_reduced.append(tensor)
    return tensor


def copy_buffers_from_main(model: nn.Module) -> None:
    """Give every process the main process's BatchNorm statistics; without SyncBatchNorm they drift apart."""
    if dist.is_initialized():
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)
