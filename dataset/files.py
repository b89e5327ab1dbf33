"""Folders and text files as people's computers leave them."""

import codecs
import os
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

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


def read_text(path: Path) -> str:
    """Return a text file in UTF-8, or in whatever its byte order mark says, without the mark.

    Editors and shells of Windows write marks. Raises OSError, and UnicodeDecodeError, a ValueError, for other files.
    """
    content = path.read_bytes()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS.items() if content.startswith(mark)), "utf-8")
    return content.decode(encoding)
