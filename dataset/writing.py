"""Writing files: whole or not at all, whatever happens meanwhile."""

import argparse
import contextlib
import errno
import json
import os
import secrets
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

PARTIAL_PREFIX = ".partial-"
"""What the name of a file begins with while it is being written: hidden, so that no search for results finds it."""


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

    The name is random: nobody can have planted a link there, and two programs that make one file do not write into
    each other's. It is never long, so that every name that a disk takes can be written, and has the suffix of `path`.
    Where the block has written nothing there, nothing happens. The file is on the disk before it gets its name.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f"{PARTIAL_PREFIX}{secrets.token_hex(8)}{target.suffix[:16]}")
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
            error.filename = os.fspath(path)
            del error.filename2  # set to None it would be printed: '... -> None'
        raise
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)


def write_bytes(path: str | os.PathLike[str], content: bytes | memoryview) -> None:
    """Write a file whole or not at all. Raises OSError as `whole_file` does."""
    with whole_file(path) as file:
        file.write(content)


def write_lines(path: str | os.PathLike[str], lines: Iterable[str]) -> None:
    """Write lines of text in UTF-8, with line feeds at their ends. Raises OSError as `whole_file` does."""
    write_bytes(path, "".join(f"{line}\n" for line in lines).encode())


def write_json(path: str | os.PathLike[str], values: Any) -> None:
    """Write plain values as JSON for people and programs, in UTF-8.

    Raises ValueError for not-a-number, which JSON does not know, and OSError as `whole_file` does.
    """
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False)
    # Names of files may have bytes that are no UTF-8, which Python keeps as lone surrogates; JSON has escapes for them.
    write_bytes(path, f"{text}\n".encode(errors="backslashreplace"))


def check_writable(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `whole_file(path)` could not be written now: to be told before hours of work, not after."""
    with whole_path(path) as partial:
        partial.open("xb").close()
        partial.unlink()


def check_outputs(options: argparse.Namespace, *names: str, folders: Sequence[str] = ()) -> None:
    """Raise OSError where a file, or a file in one of the folders, that options name could not be written now."""
    for name in (*names, *folders):
        path = getattr(options, name)
        if path is not None:
            check_writable(Path(path, "file") if name in folders else path)


def _check_replaceable(target: Path) -> None:
    """Raise OSError where something lies at a path, links followed, that a file must not take the place of."""
    if target.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder", os.fspath(target))
    if target.is_symlink():  # after they were followed: they lead in a circle
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), os.fspath(target))
    if target.exists() and not stat.S_ISREG(target.stat().st_mode):
        raise FileExistsError(errno.EEXIST, "is no regular file", os.fspath(target))
