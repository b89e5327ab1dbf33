"""A stand-in for `os._exit`, for tests that run in their own process what ends with it, as app.py does."""

import os
import sys
from collections.abc import Callable
from typing import NoReturn


def exit_of_this_process() -> Callable[[int], NoReturn]:
    """Return a function that raises SystemExit in this process alone.

    Processes forked from it really end: else each would go on with the tests.
    """
    this, end = os.getpid(), os._exit
    return lambda status: sys.exit(status) if os.getpid() == this else end(status)
