"""Writing files: whole or not at all, whatever happens meanwhile."""

import argparse
import contextlib
import errno
import json
import os
import secrets
import stat
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO, Any

PARTIAL_PREFIX = ".partial-"
"""What the name of a file begins with while it is being written: hidden, so that no search for results finds it."""

LEFTOVER_SECONDS = 3600


@contextlib.contextmanager
def whole_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Give a binary file to write to, which gets its name `path` when the block ends without an error.

    A kill, a full disk or a power cut at any moment leaves the old file or the new one, and an error no part of it.
    Missing folders are made; a symbolic link is followed to the file it stands for.

    Raises OSError, with `path` as its file name.
    """
    with whole_path(path) as partial, partial.open("xb") as file:
        yield file


@contextlib.contextmanager
def whole_path(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Give the path of a new file, for what can only write to paths; in everything else as `whole_file`.

    The name is random, so that nobody can have planted a link there, and has the suffix of `path`. Where the block has
    written nothing there, nothing happens. The file is on the disk before it gets its name.
    """
    target = Path(os.path.realpath(path))
    partial = partial_path(target)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        _check_replaceable(target)
        yield partial
        if partial.exists():
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            os.replace(partial, target)
    except OSError as error:
        # Writing to an open file does not say to which, and nobody knows the partial one. (Libraries' own errors have
        # words instead of a number, and would lose them.)
        if error.errno is not None and error.filename in (None, os.fspath(partial), os.fspath(target)):
            error.filename, error.filename2 = os.fspath(path), None
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


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
                file.truncate(size)
                raise
    except OSError as error:
        if error.filename is None:
            error.filename = os.fspath(path)
        raise


def write_json(path: str | os.PathLike[str], values: Any) -> None:
    """Write plain values as JSON. Raises OSError as `whole_file` does."""
    content = json_bytes(values)
    with whole_file(path) as file:
        file.write(content)


def json_bytes(values: Any) -> bytes:
    """Return JSON for people and programs, in UTF-8. Raises ValueError for not-a-number, which JSON does not know."""
    return (json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode()


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `whole_file(path)` could not be written now: to be told before hours of work, not after."""
    with contextlib.suppress(_NothingToWriteError), whole_file(path):
        raise _NothingToWriteError


def check_outputs(options: argparse.Namespace, *names: str, folders: Sequence[str] = ()) -> None:
    """Raise OSError where a file, or a file in one of the folders, that options name could not be written now."""
    for name in (*names, *folders):
        path = getattr(options, name)
        if path is not None:
            check_writable(Path(path, "file") if name in folders else path)


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


class _NothingToWriteError(Exception):
    """Leaves `whole_file` without a file."""


def _check_replaceable(target: Path) -> None:
    """Raise OSError where something lies at a path, links followed, that a file must not take the place of."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", os.fspath(target))
    if target.is_symlink():  # after they were followed: they lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(target))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise FileExistsError(errno.EEXIST, "is no regular file", os.fspath(target))
