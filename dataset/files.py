"""Files from outside: folders and text as people's computers leave them, and nothing but regular files opened."""

import codecs
import errno
import json
import os
import stat
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, TextIO

LARGEST_FILE = 2**31 - 1
"""Bytes that are read from one file: what OpenCV takes, and far more than a photograph or list has."""
_BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def visible_files(
    folder: Path, *, on_unreadable: Callable[[OSError], object], skipped: Collection[Path] = ()
) -> Iterator[str]:
    """Yield the files in a folder, to any depth, by their paths inside it, with forward slashes and in order.

    Hidden files and folders, whose names begin with a dot, are left out: macOS puts a `._` file beside every picture on
    disks of others. So are the folders `skipped`. Links are followed, and each folder is listed once. `on_unreadable`
    gets the error of each folder that cannot be listed, with its path as `filename`.
    """
    seen = {os.path.realpath(path) for path in skipped}
    for parent, subfolders, files in os.walk(folder, onerror=on_unreadable, followlinks=True):
        if os.path.realpath(parent) in seen:  # left out, or a link that leads back
            subfolders.clear()
            continue
        seen.add(os.path.realpath(parent))
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        inside = Path(parent).relative_to(folder).as_posix()
        start = "" if inside == "." else f"{inside}/"
        yield from (start + name for name in sorted(files) if not name.startswith("."))


def open_regular(path: str | os.PathLike[str]) -> BinaryIO:
    """Open a regular file, links followed, to read its bytes.

    Raises OSError for all else, at once: a FIFO would keep the program waiting for its other end, a device such as
    /dev/zero never ends, and a terminal waits for somebody to type.
    """
    # Opened without waiting and judged then: between a look at the name and opening it, it could change.
    flags = getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOCTTY", 0)
    file = open(path, "rb", opener=lambda name, mode: os.open(name, mode | flags))  # noqa: SIM115 - the caller closes it
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise OSError(errno.EINVAL, "it is no regular file, but a device or pipe", os.fspath(path))
    return file


def read_regular(path: str | os.PathLike[str]) -> bytes:
    """Return what is in a regular file; raises OSError as `open_regular`, and for more than 2^31 - 1 bytes."""
    with open_regular(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > LARGEST_FILE:
            raise OSError(errno.EFBIG, f"it has {size:,} bytes; {LARGEST_FILE:,} are the most", os.fspath(path))
        return file.read()


def read_text(path: Path) -> str:
    """Return a text file in UTF-8, or in whatever its byte order mark says, without the mark.

    Editors and shells of Windows write marks. Raises OSError, and UnicodeDecodeError, a ValueError, for other files.
    """
    content = read_regular(path)
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)


def parse_json(text: str | bytes) -> Any:
    """Return the values in JSON; raises ValueError for all that is none, however deeply it is nested."""
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("lists or objects are nested too deeply") from error


def printable(text: str, *, kept: str = "") -> str:
    """Return a text with its control characters, bidirectional overrides and the like as escapes (\\x1b, \\u202e).

    Names come from files of others, and a terminal would obey what is in them. Printed so they show what they hide, and
    two that look alike differ. The characters `kept`, such as the line ends of a message, stay.
    """
    return "".join(
        character if character.isprintable() or character in kept else character.encode("unicode_escape").decode()
        for character in text
    )


def first_few(items: Sequence[object], count: int) -> str:
    """Return the first items with commas between them, and how many more there are."""
    return ", ".join(map(str, items[:count])) + (f" and {len(items) - count} more" if len(items) > count else "")


def show(text: str, to: TextIO | None = None) -> None:
    """Print a text, made `printable` but for line ends and tabs, at once, on standard output or elsewhere."""
    print(printable(text, kept="\n\t"), file=to, flush=True)
