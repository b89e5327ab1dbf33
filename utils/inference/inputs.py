"""What people hand over as a picture, and as boxes in it, made into one form."""

import math
import os
import reprlib
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.reading import read_bytes
from utils.inference.picture_files import decode_upright, rgb_pixels

PictureLike = str | os.PathLike[str] | bytes | bytearray | memoryview | IO[bytes] | Image.Image | NDArray[np.uint8]
"""A path, a picture file's bytes, a binary file, a PIL image, or an array (H, W, 3) uint8 RGB."""
Box = Sequence[float] | NDArray[Any]
"""(x0, y0, x1, y1) in pixels of the upright picture; x1 and y1 are the first column and row outside."""
Boxes = Sequence[Box] | NDArray[Any]
"""The boxes in one picture, none or more; (n, 4) as an array."""

_LONGEST_SIDE = 2**15 - 2 if cv2.__version__.startswith("4.") else math.inf
"""Of a picture that OpenCV warps, in pixels."""


class Region(NamedTuple):
    """A rectangle of whole pixels in a picture."""

    rows: slice
    columns: slice

    @property
    def size(self) -> tuple[int, int]:
        """(height, width)."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start


def rgb_picture(picture: PictureLike) -> NDArray[np.uint8]:
    """Return a picture as an array (H, W, 3) uint8 RGB, upright as its EXIF orientation says.

    Files are decoded as for training and evaluation, see `decode_upright`; of PIL images see `rgb_pixels`. A binary
    file is read whole from its start, where it can go back there, and stays open. Raises DatasetError (a ValueError)
    for files that are no pictures, ValueError for arrays, images and objects of another kind.
    """
    pixels = _pixels(picture)
    height, width = pixels.shape[:2]
    if max(height, width) > _LONGEST_SIDE:
        raise ValueError(
            f"a picture of {width} x {height} pixels has a side too long for OpenCV {cv2.__version__}; make it "
            "smaller, or install OpenCV 5"
        )
    return pixels


def _pixels(picture: PictureLike) -> NDArray[np.uint8]:
    if isinstance(picture, Image.Image):
        return rgb_pixels(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(
                f"an array of {picture.dtype} and shape {picture.shape} is no picture; it must be uint8 RGB of shape "
                "(height, width, 3). Give several pictures as a list"
            )
        return picture
    if isinstance(picture, str | os.PathLike):
        return decode_upright(read_bytes(os.fspath(picture)), os.fspath(picture))
    if isinstance(picture, bytes | bytearray | memoryview):
        return decode_upright(bytes(picture), f"the {type(picture).__name__} given as a picture")
    if hasattr(picture, "read"):
        return decode_upright(_content(picture), f"the file {getattr(picture, 'name', picture)!r}")
    raise ValueError(
        f"a {type(picture).__name__} is no picture; give a path, a file's bytes, a binary file, a PIL image or a NumPy "
        "array (H, W, 3)"
    )


def _content(file: IO[bytes]) -> bytes:
    """Return all that is in a binary file."""
    # Python 3.10's temporary files for uploads do not tell whether they can.
    if getattr(file, "seekable", lambda: hasattr(file, "seek"))():
        file.seek(0)  # where a form's upload has been looked at already, as Pillow does
    content = file.read()
    if not isinstance(content, bytes):
        raise ValueError(f"the file {getattr(file, 'name', file)!r} is open as text; open it with mode 'rb'")
    return content


def pixel_regions(boxes: Boxes, size: tuple[int, int]) -> list[Region]:
    """Return boxes as whole pixels of a picture of (height, width): rounded outwards, cut at the picture's edges.

    Raises ValueError for a box that is not four numbers, is empty, or lies outside the picture, and for a single box
    where a list of boxes belongs.
    """
    try:
        listed = [list(box) for box in boxes]
    except TypeError as error:
        raise ValueError(
            f"{reprlib.repr(boxes)} is not a list of boxes; give even a single box in a list: [(x0, y0, x1, y1)]"
        ) from error
    regions = []
    for box in listed:
        x0, y0, x1, y1 = _four_numbers(box)
        rows = slice(max(0, math.floor(y0)), min(size[0], math.ceil(y1)))
        columns = slice(max(0, math.floor(x0)), min(size[1], math.ceil(x1)))
        if not (x0 < x1 and y0 < y1 and rows.start < rows.stop and columns.start < columns.stop):
            raise ValueError(
                f"the box {box} is empty or outside the picture of {size[1]} x {size[0]} pixels; boxes are "
                "x0, y0, x1, y1 with x0 < x1 and y0 < y1"
            )
        regions.append(Region(rows, columns))
    return regions


def _four_numbers(box: list[Any]) -> list[float]:
    try:
        values = [float(value) for value in box]
    except (TypeError, ValueError, OverflowError):  # OverflowError: for whole numbers of 400 digits
        values = []
    if len(values) != 4 or not all(map(math.isfinite, values)):
        raise ValueError(f"the box {reprlib.repr(box)} is not four numbers x0, y0, x1, y1")
    return values
