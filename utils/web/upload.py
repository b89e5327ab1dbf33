"""What people upload to the web page, checked before it is decoded, with messages for them."""

import io
import os
import stat
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from utils.inference.inputs import rgb_picture
from utils.inference.picture_files import readable_formats
from utils.pictures.figures import Picture

UPLOADS_AT_ONCE = 4


class Limits(NamedTuple):
    """What the page takes, and keeps; megabytes are of 1024 x 1024 bytes."""

    upload_mb: float = 30.0
    """Megabytes of a file."""
    picture_side: int = 6000
    """Pixels of the longer side of a picture."""
    memory_mb: float = 1024.0
    """Megabytes of parsed pictures in memory; one is kept even if it is larger."""
    disk_mb: float = 1024.0
    """Megabytes of uploads and downloads; eight uploads are kept even if they are more."""
    session_mb: float = 512.0
    """Megabytes of each of the two that belong to one session."""

    @property
    def request_bytes(self) -> int:
        """The longest request with an upload: a file, and what a browser says of it."""
        return int(self.upload_mb * 2**20) + 2**16

    @property
    def disk_bytes(self) -> int:
        """How large the page's folder may become."""
        return max(int(self.disk_mb * 2**20), 2 * UPLOADS_AT_ONCE * self.request_bytes)


class UploadError(ValueError):
    """A file that cannot be parsed; the message is for the person who uploaded it."""


def read_upload(path: str | os.PathLike[str], name: str, limits: Limits, folder: str | os.PathLike[str]) -> Picture:
    """Return an uploaded picture (H, W, 3) RGB, upright as its EXIF orientation says.

    `path` is what a browser, or whoever poses as one, says: only regular files inside `folder` are opened, wherever
    links lead. `name` is what the person calls the file. The picture's size is read from its header, so that a small
    file which unpacks to gigabytes is refused before that. Raises UploadError for whatever was not uploaded, is no
    picture, is broken, or exceeds the limits.
    """
    try:
        content = _uploaded_bytes(path, name, limits, folder)
    except OSError as error:
        raise _not_uploaded(name) from error
    width, height = _size(content, name, limits)
    if max(width, height) > limits.picture_side:
        raise _too_large(name, f"{width} × {height} pixels", limits)
    try:
        return rgb_picture(content)
    except ValueError as error:  # DatasetError is one; so is a side too long for an older OpenCV
        raise UploadError(
            f"“{name}” is damaged or incomplete and cannot be opened. Please try another copy of it."
        ) from error


def formats_text() -> str:
    """Return the formats that the page takes: "JPEG, PNG or WebP"."""
    *others, last = readable_formats().values()
    return f"{', '.join(others)} or {last}"


def uploaded_file(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> Path | None:
    """Return the regular file that a path leads to, wherever its links go, or None where that is not in the folder."""
    try:
        resolved = Path(os.path.realpath(path))
        inside = resolved.is_relative_to(os.path.realpath(folder)) and stat.S_ISREG(os.lstat(resolved).st_mode)
    except (OSError, ValueError):  # a ValueError for names that no disk takes
        return None
    return resolved if inside else None


def _uploaded_bytes(path: str | os.PathLike[str], name: str, limits: Limits, folder: str | os.PathLike[str]) -> bytes:
    """Return a regular file inside the folder; a pipe, on which reading waits for ever, is not opened."""
    resolved = uploaded_file(path, folder)
    if resolved is None:
        raise _not_uploaded(name)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    with open(os.open(resolved, flags), "rb") as file:
        status = os.fstat(file.fileno())
        if not stat.S_ISREG(status.st_mode):  # replaced meanwhile
            raise _not_uploaded(name)
        megabytes = status.st_size / 2**20
        if megabytes > limits.upload_mb:
            raise UploadError(
                f"“{name}” has {megabytes:.1f} MB; this page takes up to {limits.upload_mb:g} MB. "
                "Please save it smaller and try again."
            )
        return file.read(status.st_size)


def _size(content: bytes, name: str, limits: Limits) -> tuple[int, int]:
    """Return (width, height) as the header of a picture says, with no pixel decoded."""
    try:
        with Image.open(io.BytesIO(content), formats=tuple(readable_formats())) as picture:
            return picture.size
    except Image.DecompressionBombError as error:
        raise _too_large(name, "far too many pixels", limits) from error
    except Exception as error:  # Pillow has many ways to dislike a header
        raise UploadError(
            f"“{name}” is not a picture this page can read. Please choose a {formats_text()} file."
        ) from error


def _too_large(name: str, size: str, limits: Limits) -> UploadError:
    return UploadError(
        f"“{name}” has {size}; this page takes pictures of up to {limits.picture_side} pixels a side. "
        "Please make it smaller and try again."
    )


def _not_uploaded(name: str) -> UploadError:
    return UploadError(f"“{name}” is not, or no longer, among the uploads of this page. Please choose it again.")
