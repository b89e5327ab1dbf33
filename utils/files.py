"""Files that grow line by line, and what killed programs have left of files."""

import contextlib
import os
import time
from pathlib import Path

from dataset.writing import PARTIAL_PREFIX

LEFTOVER_SECONDS = 3600


def append_line(path: str | os.PathLike[str], line: bytes) -> None:
    """Add a line to a file, which is made if need be; begin a new one behind half a line that a kill has left.

    Raises OSError, with `path` as its file name; the file is then as it was.
    """
    try:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a+b", buffering=0) as file:
            with contextlib.suppress(ImportError, OSError):  # not on Windows, nor on every network disk
                import fcntl

                fcntl.flock(file, fcntl.LOCK_EX)  # else the line that another process is writing could look torn
            size = file.seek(0, os.SEEK_END)
            if size > 0:
                file.seek(-1, os.SEEK_END)
            data = (b"\n" if size > 0 and file.read(1) != b"\n" else b"") + line + b"\n"
            try:
                while data:  # a disk that is filling up may take a part; the next try then says so
                    data = data[file.write(data) :]
            except OSError:
                with contextlib.suppress(OSError):  # a device is never longer; the first error says what is wrong
                    file.truncate(size)
                raise
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def remove_leftovers(folder: Path) -> None:
    """Remove, at any depth, the unfinished files of programs that were killed: what nobody has touched for an hour."""
    for file in folder.rglob(f"{PARTIAL_PREFIX}*"):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if time.time() - file.stat().st_mtime > LEFTOVER_SECONDS:
                file.unlink()
