"""Ctrl-C: one line and exit status 130, whenever it comes. Imports next to nothing, since it is to be there first."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

INTERRUPTED = 128 + signal.SIGINT


def end_at_once_on_ctrl_c() -> None:
    """Make Ctrl-C end this program with one line from now on, unless it is ignored or somebody has other plans with it.

    Programs call it before they import the rest; `dataset.command.run_command` takes over for what is to be tidied up.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_at_once)


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Handle a signal by ending without tidying up, from which Python would come back with tracebacks."""
    say_interrupted("Interrupted.")
    leave_at_once()


def leave_at_once(*_: object) -> NoReturn:
    """End without tidying up, and with it the processes that this one has started; also a handler of signals."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    for child in multiprocessing.active_children() if multiprocessing else ():
        child.kill()  # it would wait for work forever
    os._exit(INTERRUPTED)


def say_interrupted(sentence: str) -> None:
    """Print a sentence on standard error, from the first process alone: Ctrl-C comes to all of them."""
    if is_first():
        with suppress(OSError):  # Ctrl-C also ends what the output is piped into
            print(f"\n{sentence}", file=sys.stderr, flush=True)


def is_first() -> bool:
    """Return whether this is the program itself, or the first of the processes that torchrun has started here."""
    multiprocessing = sys.modules.get("multiprocessing.process")
    is_child = multiprocessing is not None and multiprocessing.parent_process() is not None
    return os.environ.get("LOCAL_RANK", "0") == "0" and not is_child


@contextmanager
def left_to_this_process() -> Iterator[None]:
    """Start processes in this block: they leave SIGINT and SIGTERM, which often come to all, to the one that did."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
