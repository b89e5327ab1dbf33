"""Progress of long work: a bar on a terminal, plain lines elsewhere."""

import sys
import time
from typing import Any

from tqdm import tqdm

from dataset.files import printable, show

SECONDS_BETWEEN_LINES = 10.0
duration = tqdm.format_interval
"""From seconds to a text such as 00:41, 12:05 or 3:02:10."""


class Progress:
    """Count work done out of a total, with rate and time left; used as a context manager.

    On a terminal it is a tqdm bar. Where the output goes to a file or a pipe it writes a whole line every ten seconds
    and one at the end, so that logs stay readable. With `quiet` it writes nothing.
    """

    def __init__(self, title: str, total: int, unit: str, *, done: int = 0, quiet: bool = False) -> None:
        self.title, self.total, self.unit, self.quiet = printable(title), total, unit, quiet
        self.first = self.done = done
        self.note = ""
        self.start = self.last_line = time.monotonic()
        self.bar: tqdm[Any] | None = None
        if not quiet and sys.stderr is not None and sys.stderr.isatty():
            self.bar = tqdm(total=total, initial=done, desc=self.title, unit=unit, dynamic_ncols=True, smoothing=0.1)

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Count work, and show a note beside it (such as the loss) from now on."""
        self.done += count
        if note is not None:
            self.note = note
        if self.bar is not None:
            if note is not None:
                self.bar.set_postfix_str(note, refresh=False)
            self.bar.update(count)
        elif time.monotonic() - self.last_line >= SECONDS_BETWEEN_LINES and self.done < self.total:
            self._print_line()

    def _print_line(self) -> None:
        self.last_line = time.monotonic()
        if self.quiet:
            return
        seconds = self.last_line - self.start
        rate = (self.done - self.first) / max(seconds, 1e-9)
        left = duration((self.total - self.done) / rate) if rate > 0 else "?"
        time_text = f"{left} left" if self.done < self.total else f"took {duration(seconds)}"
        text = f"{self.title}: {self.done}/{self.total} {self.unit}, {rate:.3g} {self.unit}/s, {time_text}"
        show(text + (f", {self.note}" if self.note else ""), to=sys.stderr)

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if self.bar is not None:
            self.bar.close()
        elif kind is None:
            self._print_line()
