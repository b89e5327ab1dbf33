"""Writing files: whole or not at all, whatever happens meanwhile."""

import contextlib
import os
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

PARTIAL_PREFIX = ".partial-"
"""What the name of a file begins with while it is being written: hidden, so that no search for results finds it."""

LEFTOVER_SECONDS = 3600


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Give a binary file to write to, which gets its name `path` when the block ends without an error.

    A kill at any moment leaves the old file or the new one, and an error no part of it. Missing folders are made.
    Raises OSError, with `path` as its file name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = partial_path(path)
    try:
        with partial.open("xb") as file:
            yield file
        os.replace(partial, path)
    except OSError as error:
        if error.filename in (None, os.fspath(partial)):  # writing to an open file does not say to which
            error.filename = os.fspath(path)
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def partial_path(path: Path) -> Path:
    """Return what a file is called while it is being written: hidden, with its own suffix.

    Another name each time, so that two programs which make the same file do not write into each other's; and never a
    long one, so that every name that a disk takes can be written.
    """
    return path.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{path.suffix[:16]}")


def remove_leftovers(folder: Path) -> None:
    """Remove, at any depth, the unfinished files of programs that were killed: what nobody has touched for an hour."""
    for file in folder.rglob(f"{PARTIAL_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if time.time() - file.stat().st_mtime > LEFTOVER_SECONDS:
                file.unlink()
