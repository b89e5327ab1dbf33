"""Values of options, checked in one place: the same mistake is the same sentence in every command, and in Python."""

import argparse
import math
import operator
import reprlib
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from dataset.command import FAILED, say

T = TypeVar("T")


class OptionError(argparse.ArgumentTypeError, ValueError):
    """A value that an option cannot have. Of which option, argparse says, or `checked`."""


class OptionParser(argparse.ArgumentParser):
    """An ArgumentParser that says what is wrong in one sentence, as all commands here do; the usage is for --help."""

    def parse_known_args(self, args: Iterable[str] | None = None, namespace: Any = None) -> Any:
        """Refuse empty values, which a shell makes of variables that are not set: no option here means anything by one.

        A file called "" would be the current folder, or no file at all.
        """
        option = "an argument"
        args = sys.argv[1:] if args is None else list(args)
        for text in args:
            if text.startswith("--"):
                option = text.partition("=")[0]
            if text in ("", f"{option}="):
                self.error(f"{option}: its value is empty; a variable in the command may not be set")
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """End the program."""
        say(f"{self.prog.removeprefix('python -m ')}: {message.removeprefix('argument ')} (see --help)")
        self.exit(FAILED)


@dataclass(frozen=True)
class Whole:
    """The whole numbers from `lowest` to `highest`, as the `type` of an option; raises OptionError for all else.

    `why` is the reason, where it does not go without saying.
    """

    lowest: int
    highest: int
    why: str = ""

    def __call__(self, value: str | int) -> int:
        try:
            number = int(value) if isinstance(value, str) else operator.index(value)
        except (TypeError, ValueError) as error:
            raise OptionError(f"{reprlib.repr(value)} is not a whole number") from error
        if not self.lowest <= number <= self.highest:
            reason = f": {self.why}" if self.why else ""
            raise OptionError(f"{reprlib.repr(number)} is not between {self.lowest} and {self.highest}{reason}")
        return number


@dataclass(frozen=True)
class Number:
    """The finite numbers from `lowest` to `highest`, as the `type` of an option; raises OptionError for all else.

    `what` says it in words, such as "above 0".
    """

    what: str
    lowest: float
    highest: float = math.inf

    def __call__(self, value: str | float) -> float:
        try:
            number = float(value)
        except (TypeError, ValueError, OverflowError) as error:
            raise OptionError(f"{reprlib.repr(value)} is not a number") from error
        if not (math.isfinite(number) and self.lowest <= number <= self.highest):
            raise OptionError(f"{number:g} is not a number {self.what}")
        return number


def checked(name: str, rule: Callable[[Any], T], value: Any) -> T:
    """Return the value of a Python argument that an option's rule allows; raise OptionError, which names it."""
    try:
        return rule(value)
    except OptionError as error:
        raise OptionError(f"{name}: {error}") from error


COUNT = Whole(1, 10**9)
PERIOD_OR_NEVER = Whole(0, 10**9)
SEED = Whole(0, 2**63 - 1, "PyTorch's generators take no other seeds")
WORKERS = Whole(1, 256, "each is a process or thread that holds photographs in memory")
WORKERS_OR_NONE = Whole(0, WORKERS.highest, WORKERS.why)


def two_whole_numbers(size: str | Iterable[int]) -> tuple[int, int]:
    """Return a (height, width), from text such as "473,473" or "473x473" or from numbers."""
    try:
        parts = size.replace("x", ",").split(",") if isinstance(size, str) else size
        height, width = (int(part) if isinstance(part, str) else operator.index(part) for part in parts)
    except (TypeError, ValueError) as error:
        raise OptionError(f"{reprlib.repr(size)} is not a size; write height,width as in 473,473") from error
    return height, width
