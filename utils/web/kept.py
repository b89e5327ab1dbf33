"""What the web page keeps for its visitors, in memory and on the disk: bounded in bytes and in time."""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

FORGET_AFTER = 3600
"""Seconds after which uploaded and downloaded files, and what was parsed of them, are forgotten."""

_BLOCKS = 8192
"""Bytes that a file and its folder take at least."""


@dataclass(frozen=True)
class _Item(Generic[T]):  # no NamedTuple, which Python 3.10 does not let be Generic as well
    value: T
    size: int
    time: float


class Kept(Generic[T]):
    """Things of several sessions, by name. One parser's threads may share it.

    Where they exceed a limit in bytes, of one session or of all together, the oldest are forgotten, but never the
    latest.

    Args:
        total: the limit of all sessions together, in bytes.
        each: the limit of one session, in bytes.
        on_forget: gets what is forgotten, or replaced by another thing of its name.
    """

    def __init__(self, total: int, each: int, on_forget: Callable[[T], object] = lambda _: None) -> None:
        self._total, self._each, self._on_forget = total, each, on_forget
        self._items: dict[tuple[str, str], _Item[T]] = {}  # the oldest first
        self._lock = threading.RLock()

    def keep(self, session: str, name: str, value: T, size: int) -> None:
        """Keep a thing of `size` bytes for a session, in the place of what has its name."""
        with self._lock:
            replaced = self._items.pop((session, name), None)
            self._items[session, name] = _Item(value, size, time.time())
            if replaced is not None and replaced.value is not value:
                self._on_forget(replaced.value)
            self._shrink([key for key in self._items if key[0] == session], self._each)
            self._shrink(list(self._items), self._total)

    def get(self, session: str, name: str) -> T | None:
        """Return a thing of a session, or None where there is none, or no longer."""
        with self._lock:
            item = self._items.get((session, name))
        return item.value if item else None

    def values(self) -> list[T]:
        """Return all that is kept, the oldest first."""
        with self._lock:
            return [item.value for item in self._items.values()]

    def forget_old(self) -> None:
        """Forget what is older than an hour."""
        with self._lock:
            for key in [key for key, item in self._items.items() if time.time() - item.time > FORGET_AFTER]:
                self._on_forget(self._items.pop(key).value)

    def _shrink(self, keys: list[tuple[str, str]], limit: int) -> None:
        size = sum(self._items[key].size for key in keys)
        for key in keys[:-1]:
            if size <= limit:
                break
            item = self._items.pop(key)
            size -= item.size
            self._on_forget(item.value)


class Folder:
    """The page's own folder. What lies in it now stays; other files go after an hour, or when they are too many bytes.

    It is looked at rather than remembered: uploads that nobody came back for, or that broke off, count too.
    """

    def __init__(self, path: Path, limit: int) -> None:
        self.path, self._limit = path, limit
        self._stays = self._files()

    def remove(self, path: Path) -> None:
        """Remove one of the files, and its folder where that is empty then."""
        if path in self._stays:
            return
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
            if path.parent != self.path:
                path.parent.rmdir()

    def tidy(self, room: int = 0) -> None:
        """Remove old files, and then the oldest, until `room` bytes more are within the limit."""
        files = []
        for path in self._files() - self._stays:
            with contextlib.suppress(OSError):  # gone meanwhile
                status = path.lstat()
                files.append((status.st_mtime, status.st_size + _BLOCKS, path))
        used = sum(size for _, size, _ in files)
        for changed, size, path in sorted(files):
            if time.time() - changed > FORGET_AFTER or used + room > self._limit:
                self.remove(path)
                used -= size

    def _files(self) -> set[Path]:
        return {Path(parent, name) for parent, _, names in os.walk(self.path) for name in names}
