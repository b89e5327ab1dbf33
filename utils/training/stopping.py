"""How a run ends early: a signal asks it to finish its step, save and leave; or its loss is not finite."""

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import Any

from dataset.command import STOP_SIGNALS, CommandError

REPEATED = (signal.SIGTERM, signal.SIGINT)
"""The signals that end the process when they come twice: those that people send."""


class TrainingDivergedError(CommandError):
    """A loss or weights are not finite; the message names the step and what to do."""


class TrainingStoppedError(RuntimeError):
    """A signal asked the run to stop, and its state is saved; `exit_status` is what a shell expects then."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StopRequest:
    """Remember the first of `STOP_SIGNALS` that comes inside its `with` block; a repeated SIGTERM or Ctrl-C ends it.

    Schedulers may send several: one as a warning, SIGTERM after it, SIGXCPU every second. Under torchrun nothing ends
    the process: it passes on a signal that the processes may have had already, and ends them itself if they take too
    long. A signal that `nohup` has switched off stays off.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._seen: set[int] = set()
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        for number in STOP_SIGNALS:
            if number in REPEATED or signal.getsignal(number) != signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._receive)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that the signal has ended."""
        return 128 + (self.signal or signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            if "TORCHELASTIC_RUN_ID" not in os.environ:  # else all processes get it, also where one of them has failed
                # Not printed: the signal may have come while something is, which Python does not allow twice at once.
                # And Ctrl-C may have ended what the output is piped into.
                with contextlib.suppress(OSError):
                    os.write(2, f"\n{signal.Signals(number).name}: stopping after this step ...\n".encode())
        elif number in self._seen and number in REPEATED and "TORCHELASTIC_RUN_ID" not in os.environ:
            sys.exit(128 + number)
        self._seen.add(number)
