"""The training's words for people, which it outlives: nobody has to listen to the end."""

import contextlib
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any, TextIO


class OutlivingStream:
    """A text stream that stays writable when what it leads to is gone or full; then what is written is dropped."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream, self._name = stream, name

    def write(self, text: str) -> int:
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self) -> None:
        self._attempt(self._stream.flush)

    def _attempt(self, work: Callable[..., object], *arguments: str) -> None:
        try:
            work(*arguments)
        except OSError as error:
            # What is left in its buffer goes there, too: else Python would try once more at its end, and fail.
            with contextlib.suppress(OSError):
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, self._stream.fileno())
                os.close(nowhere)
            line = f"The {self._name} cannot be written ({error.strerror}): the training goes on without it.\n"
            with contextlib.suppress(OSError):
                os.write(2, line.encode())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def outlive_output() -> Iterator[None]:
    """Let a closed pipe (`| head`), a terminal that is gone or a full disk end the output, and nothing else.

    Everything that prints (lines, progress, warnings) goes through these two streams.
    """
    streams = sys.stdout, sys.stderr
    for name, words in (("stdout", "output"), ("stderr", "error output")):
        if getattr(sys, name) is not None:  # a program may be started without
            setattr(sys, name, OutlivingStream(getattr(sys, name), words))
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams
