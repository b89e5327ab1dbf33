"""How a run ends early: SIGTERM and Ctrl-C ask it to finish its step, save and leave; or its loss is not finite."""

import contextlib
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

from dataset.command import CommandError
from dataset.files import show

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class TrainingDivergedError(CommandError):
    """A loss or weights are not finite; the message names the step and what to do."""


class TrainingStoppedError(RuntimeError):
    """A signal asked the run to stop, and its state is saved; `exit_status` is what a shell expects then."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class StopRequest:
    """Remember the first SIGTERM or SIGINT that comes inside its `with` block; a second one ends the process.

    Not so under torchrun: it passes on a signal that the processes may have had already, and ends them itself if they
    take too long.
    """

    def __init__(self) -> None:
        self.signal: int | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopRequest":
        self._handlers = {number: signal.signal(number, self._receive) for number in SIGNALS}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that the signal has ended."""
        return 128 + (self.signal or signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is None:
            self.signal = number
            if "TORCHELASTIC_RUN_ID" in os.environ:
                return  # all processes get it, also where one of them has failed
            with contextlib.suppress(OSError):  # Ctrl-C also ends what the output is piped into
                show(f"\n{signal.Signals(number).name}: stopping after this step ...", to=sys.stderr)
        elif "TORCHELASTIC_RUN_ID" not in os.environ:
            sys.exit(128 + number)
