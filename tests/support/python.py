"""Stand in for `python` where shell scripts and torchrun start programs that would first import PyTorch.

The process that forks (see `stand_in` of `tests.support.started`) makes the program; this one waits for it, passes
signals on and ends as it ends. All but the programs below is left to the real Python.
"""

import os
import signal
import sys
from pathlib import Path
from types import FrameType

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support import started

PROGRAMS = ("gpu_rows.py", "processes.py", "train_tiny.py")
PASSED_ON = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGUSR1, signal.SIGUSR2)


def main() -> int:
    """Do what `python ARGUMENTS` does; return the exit status."""
    arguments = sys.argv[2:] if sys.argv[1:2] == ["-u"] else sys.argv[1:]
    if not arguments or Path(arguments[0]).name not in PROGRAMS:
        os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
    outputs = [f"/proc/{os.getpid()}/fd/{number}" for number in (1, 2)]
    process = started.start(Path(arguments[0]).absolute(), arguments[1:], outputs=outputs, parent=os.getppid())

    def pass_on(number: int, _: FrameType | None) -> None:
        process.send_signal(number)

    for number in PASSED_ON:
        signal.signal(number, pass_on)
    process.communicate()
    status = process.wait()
    if status < 0:
        if -status in PASSED_ON:
            signal.signal(-status, signal.SIG_DFL)
        os.kill(os.getpid(), -status)
    return status


if __name__ == "__main__":
    sys.exit(main())
