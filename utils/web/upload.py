"""What people upload to the web page, checked before it is decoded, with messages for them."""

import os
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from utils.inference.inputs import rgb_picture
from utils.inference.picture_files import readable_formats
from utils.pictures.figures import Picture


class Limits(NamedTuple):
    """What the page takes."""

    upload_mb: float = 30.0
    """Megabytes (of 1024 x 1024 bytes) of a file."""
    picture_side: int = 6000
    """Pixels of the longer side of a picture."""


class UploadError(ValueError):
    """A file that cannot be parsed; the message is for the person who uploaded it."""


def read_upload(path: str | os.PathLike[str], name: str, limits: Limits) -> Picture:
    """Return an uploaded picture (H, W, 3) RGB, upright as its EXIF orientation says.

    `name` is what the person calls the file. Its size is read from its header, so that a small file which unpacks to
    gigabytes is refused before that. Raises UploadError for whatever is no picture, is broken, or exceeds the limits.
    """
    megabytes = Path(path).stat().st_size / 2**20
    if megabytes > limits.upload_mb:
        raise UploadError(
            f"“{name}” has {megabytes:.1f} MB; this page takes up to {limits.upload_mb:g} MB. "
            "Please save it smaller and try again."
        )
    width, height = _size(path, name, limits)
    if max(width, height) > limits.picture_side:
        raise _too_large(name, f"{width} × {height} pixels", limits)
    try:
        return rgb_picture(path)
    except ValueError as error:  # DatasetError is one; so is a side too long for an older OpenCV
        raise UploadError(
            f"“{name}” is damaged or incomplete and cannot be opened. Please try another copy of it."
        ) from error


def formats_text() -> str:
    """Return the formats that the page takes: "JPEG, PNG or WebP"."""
    *others, last = readable_formats().values()
    return f"{', '.join(others)} or {last}"


def _size(path: str | os.PathLike[str], name: str, limits: Limits) -> tuple[int, int]:
    """Return (width, height) as the header of a picture says, with no pixel decoded."""
    try:
        with Image.open(path, formats=tuple(readable_formats())) as picture:
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
