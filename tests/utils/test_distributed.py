"""Joining the processes of a run; `tests/test_train.py` has the runs themselves."""

import re
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from torch.distributed import HashStore

from dataset.command import CommandError, LostProcessError
from utils import distributed


class _JoiningError(Exception):
    """Instead of waiting for a second machine."""


@pytest.mark.parametrize("found", ["127.0.1.1", "::1", None, "10.0.0.7"])
def test_a_machine_that_others_cannot_reach_says_so(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], found: str | None
) -> None:
    """Debian and Ubuntu list a machine's own name as 127.0.1.1, and gloo only says that connections were refused."""

    def getaddrinfo(name: str, port: None) -> list[Any]:
        if found is None:
            raise socket.gaierror
        return [(socket.AF_INET, socket.SOCK_STREAM, 0, "", (found, 0))]

    def rendezvous(_: str) -> None:
        raise _JoiningError

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    monkeypatch.setattr(socket, "gethostname", lambda: "host1")
    monkeypatch.setattr(distributed.dist, "rendezvous", rendezvous)
    for name, value in {"RANK": 1, "WORLD_SIZE": 2, "LOCAL_WORLD_SIZE": 1, "LOCAL_RANK": 0}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("GLOO_SOCKET_IFNAME", raising=False)
    with pytest.raises(_JoiningError):
        distributed.start_processes("cpu")
    said = capsys.readouterr().err
    assert bool(re.search(r"host1, stands for .* GLOO_SOCKET_IFNAME", said)) == (found != "10.0.0.7")
    assert (found or "no address") in said or found == "10.0.0.7"


def test_the_first_machine_has_the_first_ranks() -> None:
    """torchrun gave the machines 2, 0 and 1, with 1, 2 and 3 processes, these ranks as they came."""
    machines = ["2", "0", "0", "1", "1", "1"]
    store = HashStore()
    with ThreadPoolExecutor(6) as pool:
        ranks = list(pool.map(lambda rank: distributed._rank_by_machine(store, rank, 6, machines[rank]), range(6)))
    assert ranks == [5, 0, 1, 2, 3, 4]


def test_what_an_error_says_of_its_own_is_not_taken_for_a_lost_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a run in a folder called "nccl" it took 15 seconds to say nothing but that a connection broke."""
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setattr(distributed.time, "sleep", lambda _: None)
    with pytest.raises(CommandError, match="the last good snapshot is nccl/"), distributed.leaving_processes():
        raise CommandError("the last good snapshot is nccl/LIP_epoch_Last.pth")
    with pytest.raises(LostProcessError), distributed.leaving_processes():
        raise RuntimeError("[gloo] Connection closed by peer")
