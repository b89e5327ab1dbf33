"""How a command of this project ends: with one sentence, and a status that says what kind of end it was."""

import contextlib
import io
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from types import FrameType

from dataset.files import printable, show
from dataset.interrupts import INTERRUPTED, end_at_once, is_first, leave_at_once, say_interrupted

DONE, NOT_ALL_WELL, FAILED, LOST = 0, 1, 2, 3
"""All is done; the work is done, but part of the data is not as it should be; it could not be done, or not to its end
(so do wrong options end); a process that it needs was killed or is gone, so that trying again may help.
Ctrl-C is INTERRUPTED."""

SECONDS_FOR_THE_FIRST = 5
"""For the first process of a machine to say why all end; it may be slower than the others to find out."""

STOP_SIGNALS = tuple(
    signal.Signals[name]
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")
    if name in signal.Signals.__members__  # Windows has the first two
)
"""What asks a training to save and leave: people, closed terminals, and schedulers, which send one of these before the
time that a job has is over."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "insufficient memory", "bad_alloc")


class CommandError(RuntimeError):
    """What keeps a command from doing its work; the message is for the person who typed it."""

    exit_status = FAILED


class LostProcessError(CommandError):
    """A process that the work needs is gone, killed for want of memory, say."""

    exit_status = LOST


def run_command(
    name: str,
    work: Callable[[], int | None],
    *,
    out_of_memory: str = "close other programs",
    interrupted: str = "Interrupted.",
) -> int:
    """Do a command's work and return its exit status: what the work returns (None stands for DONE), or how it failed.

    What a person can mend (ValueError, OSError, CommandError, too little memory) ends in one sentence on standard
    error; other errors are faults of the program and keep their tracebacks. Of several processes that torchrun has
    started here only the first speaks, where all end alike.

    Args:
        name: what the sentence begins with, such as "predict.py".
        out_of_memory: what to do where the memory is too small, such as "choose a smaller --batch-size".
        interrupted: what to say after Ctrl-C.
    """
    _keep_standard_streams_free()
    handler = logging.StreamHandler()
    handler.setFormatter(_PrintableFormatter("%(message)s"))
    logging.basicConfig(handlers=[handler])
    if isinstance(sys.stdout, io.TextIOWrapper):  # names may have characters that a terminal's encoding has not
        sys.stdout.reconfigure(errors="backslashreplace")
    status = FAILED
    try:
        with _ctrl_c_once(interrupted):
            return work() or DONE
    except KeyboardInterrupt as event:
        if not isinstance(event, _SaidInterrupt):
            say_interrupted(interrupted)
        return INTERRUPTED
    except BrokenPipeError:
        # What the output was piped into, such as `head`, has seen enough. Nothing more can be written there, and Python
        # would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except CommandError as error:
        message, status = str(error), error.exit_status
    except (ValueError, OSError) as error:
        message = str(error)
    except Exception as error:
        if not _is_out_of_memory(error):
            _let_the_first_speak()
            raise
        message = f"the memory is too small; {out_of_memory}"
    say(f"{name}: {message}")
    return status


def _keep_standard_streams_free() -> None:
    """Open what the program was started without (`2>&-`) as nothing's output.

    Else the first file that it opens would get that number, and what libraries and signal handlers say there would be
    written into a result.
    """
    while True:
        number = os.open(os.devnull, os.O_RDWR)  # the lowest number that is free
        if number > 2:
            os.close(number)
            return
        os.set_inheritable(number, True)


class _PrintableFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return printable(super().format(record), kept="\n\t")


def say(sentence: str) -> None:
    """Print on standard error why a command ends; of several processes that end alike, the first alone says it."""
    _let_the_first_speak()
    show(sentence, to=sys.stderr)


def _let_the_first_speak() -> None:
    """Wait where the first process may be about to say the same: torchrun then ends this one meanwhile."""
    if not is_first():
        time.sleep(SECONDS_FOR_THE_FIRST)


class _SaidInterrupt(KeyboardInterrupt):
    """Ctrl-C, to which the program has answered already."""


@contextlib.contextmanager
def _ctrl_c_once(sentence: str) -> Iterator[None]:
    """Let Ctrl-C print a sentence and raise KeyboardInterrupt, once: what then tidies up is not interrupted by another.

    A second one ends the program at once. Not so under torchrun, which passes on a signal that its processes have had
    already, and ends them itself if they take too long.
    """
    before = signal.getsignal(signal.SIGINT)

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN if "TORCHELASTIC_RUN_ID" in os.environ else leave_at_once)
        say_interrupted(sentence)  # tidying up may take a while
        raise _SaidInterrupt

    if before not in (signal.default_int_handler, end_at_once):
        yield
        return
    signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell by name and words: on a CPU PyTorch has no class of its own for it, and this module does without PyTorch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error).lower() for words in _OUT_OF_MEMORY)
