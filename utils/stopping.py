"""Stopping a long run from outside: SIGTERM and Ctrl-C ask it to finish its step, save and leave."""

import signal
import sys
from types import FrameType


class StopRequest:
    """Remember the first SIGTERM or SIGINT; a second one ends the process at once."""

    def __init__(self) -> None:
        self.signal: int | None = None

    def listen(self) -> None:
        """Take over both signals from now on."""
        signal.signal(signal.SIGTERM, self._receive)
        signal.signal(signal.SIGINT, self._receive)

    @property
    def exit_status(self) -> int:
        """What a shell expects of a process that a signal has ended."""
        return 128 + (self.signal or signal.SIGTERM)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if self.signal is not None:
            sys.exit(128 + number)
        self.signal = number
        print(f"\n{signal.Signals(number).name}: stopping after this step ...", file=sys.stderr, flush=True)
