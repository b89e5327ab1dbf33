"""How a command of this project ends: with one sentence, and a status that says what kind of end it was.

It lies here because the commands of this room need it, and this room imports nothing from `utils`.
"""

import logging
import os
import sys
import time
from collections.abc import Callable

from dataset.files import printable

DONE, NOT_ALL_WELL, FAILED, INTERRUPTED = 0, 1, 2, 130
"""All is done; the work is done, but part of the data is not as it should be; it could not be done, or not to its end
(so do wrong options end, see argparse); Ctrl-C."""

SECONDS_FOR_THE_FIRST = 5
"""For the first process of a machine to say why all end; it may be slower than the others to find out."""

_OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory")


class CommandError(RuntimeError):
    """What keeps a command from doing its work; the message is for the person who typed it."""


def run_command(
    name: str,
    work: Callable[[], int | None],
    *,
    out_of_memory: str = "close other programs",
    interrupted: str = "Interrupted.",
) -> int:
    """Do a command's work and return its exit status: what the work returns (None stands for DONE), or how it failed.

    What a person can mend (ValueError, OSError, CommandError, too little memory) ends in one sentence on standard
    error; other errors are faults of the program and keep their tracebacks.

    Args:
        name: what the sentence begins with, such as "predict.py".
        out_of_memory: what to do where the memory is too small, such as "choose a smaller --batch-size".
        interrupted: what to say after Ctrl-C.
    """
    logging.basicConfig(format="%(message)s")
    try:
        return work() or DONE
    except KeyboardInterrupt:
        print(f"\n{interrupted}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # What the output was piped into, such as `head`, has seen enough. Nothing more can be written there, and Python
        # would try once more at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except (ValueError, OSError, CommandError) as error:
        message = str(error)
    except (MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        message = f"the memory is too small; {out_of_memory}"
    say(f"{name}: {message}")
    return FAILED


def say(sentence: str) -> None:
    """Print on standard error why a command ends; of several processes with the same mistake the first alone says it.

    The others hold back, so that torchrun has ended them by then.
    """
    if os.environ.get("LOCAL_RANK", "0") != "0":
        time.sleep(SECONDS_FOR_THE_FIRST)
    print(printable(sentence, kept="\n\t"), file=sys.stderr, flush=True)


def _is_out_of_memory(error: Exception) -> bool:
    """Tell by name and words: on a CPU PyTorch has no class of its own for it, and this module does without PyTorch."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return any(words in str(error) for words in _OUT_OF_MEMORY)
