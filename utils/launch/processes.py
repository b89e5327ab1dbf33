"""torchrun for train.py and the evaluations: a mistake is said once and ends the run; crashes alone start it again.

python utils/launch/processes.py OPTIONS_OF_TORCHRUN SCRIPT ITS_OPTIONS
"""

import logging
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

from torch.distributed import run as torchrun
from torch.distributed.elastic.agent.server.api import RunResult
from torch.distributed.elastic.agent.server.local_elastic_agent import LocalElasticAgent
from torch.distributed.elastic.multiprocessing.api import SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, ProcessFailure
from torch.distributed.elastic.rendezvous import RendezvousError
from torch.distributed.launcher import api

from dataset.command import FAILED, say
from dataset.interrupts import INTERRUPTED

NAME = "torchrun"


class Agent(LocalElasticAgent):
    """torchrun's agent, which watches the processes of this machine; it starts them again after crashes alone."""

    def _monitor_workers(self, *arguments: Any, **options: Any) -> RunResult:
        result = super()._monitor_workers(*arguments, **options)
        if result.failures:
            if any(_has_decided(failure) for failure in result.failures.values()):
                self._remaining_restarts = 0
            elif self._remaining_restarts:
                end, left = _end_of(_first(result.failures)), self._remaining_restarts
                say(f"{NAME}: {end}; all start again, from the last snapshot if there is one ({left} restarts left)")
        return result

    def _shutdown(self, *arguments: Any, **options: Any) -> None:
        # A second signal would interrupt this, and leave processes behind.
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        super()._shutdown(*arguments, **options)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the processes; return the exit status of the one that ended the run, as a shell would show it."""
    logging.disable(logging.ERROR)  # torchrun tells each process's end in many lines; the processes say it themselves
    api.LocalElasticAgent = Agent  # type: ignore[misc]
    try:
        torchrun.run(torchrun.parse_args(arguments))
    except ChildFailedError as error:
        first = _first(error.failures)
        if first.exitcode < 0:
            say(f"{NAME}: {_end_of(first)}")
        return first.exitcode if first.exitcode > 0 else 128 - first.exitcode
    except SignalException as event:
        return 128 + int(event.sigval)
    except KeyboardInterrupt:
        return INTERRUPTED
    except (RendezvousError, OSError, RuntimeError) as error:
        say(f"{NAME}: the machines or processes of the run did not find each other, or one has left: {error}")
        return FAILED
    return 0


def _first(failures: dict[int, ProcessFailure]) -> ProcessFailure:
    """Return the failure that ended the run: that of a process which gave a reason, else the earliest."""
    return min(failures.values(), key=lambda failure: (not _has_decided(failure), failure.timestamp))


def _has_decided(failure: ProcessFailure) -> bool:
    """Return whether a process has ended by itself and would do so again: for a mistake, or after a signal."""
    return failure.exitcode == FAILED or failure.exitcode > 128


def _end_of(failure: ProcessFailure) -> str:
    if failure.exitcode >= 0:
        return f"process {failure.local_rank} crashed"
    name = signal.Signals(-failure.exitcode).name
    advice = ", as Linux does where the memory is full" if name == "SIGKILL" else ""
    return f"process {failure.local_rank} was ended by {name}{advice}"


if __name__ == "__main__":
    sys.exit(main())
