"""What people hand over as a picture, and as boxes in it, made into one form."""

import math
import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from dataset.reading import read_upright_image

PictureLike = str | os.PathLike[str] | Image.Image | NDArray[np.uint8]
"""A path, a PIL image, or an array (H, W, 3) uint8 RGB."""
Box = Sequence[float] | NDArray[Any]
"""(x0, y0, x1, y1) in pixels of the upright picture; x1 and y1 are the first column and row outside."""
Boxes = Sequence[Box] | NDArray[Any]
"""The boxes in one picture, none or more; (n, 4) as an array."""


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

    Files are decoded as for training and evaluation. Of PIL images, gray ones get three equal channels, 16-bit gray
    ones lose their lower 8 bits, and of those with transparency the stored colours count. Raises DatasetError (a
    ValueError) for files that are no pictures, ValueError for arrays and images of another kind.
    """
    if isinstance(picture, Image.Image):
        return _from_pil(picture)
    if isinstance(picture, np.ndarray):
        if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or picture.size == 0:
            raise ValueError(
                f"an array of {picture.dtype} and shape {picture.shape} is no picture; it must be uint8 RGB of shape "
                "(height, width, 3). Give several pictures as a list"
            )
        return picture
    if isinstance(picture, str | os.PathLike):
        return np.asarray(cv2.cvtColor(read_upright_image(os.fspath(picture)), cv2.COLOR_BGR2RGB), dtype=np.uint8)
    raise ValueError(f"a {type(picture).__name__} is no picture; give a path, a PIL image or a NumPy array (H, W, 3)")


def _from_pil(picture: Image.Image) -> NDArray[np.uint8]:
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I;16"):
        gray = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if upright.mode in ("I", "F"):
        raise ValueError(f"a PIL image of mode {upright.mode} has no range of brightness; convert it to L or RGB")
    return np.asarray(upright.convert("RGB"))


def whole_picture(size: tuple[int, int]) -> Region:
    """Return the region of all of a picture of (height, width)."""
    return Region(slice(0, size[0]), slice(0, size[1]))


def pixel_regions(boxes: Boxes, size: tuple[int, int]) -> list[Region]:
    """Return boxes as whole pixels of a picture of (height, width): rounded outwards, cut at the picture's edges.

    Raises ValueError for a box that is not four numbers, is empty, or lies outside the picture.
    """
    regions = []
    for box in boxes:
        values = [float(value) for value in box]
        if len(values) != 4 or not all(map(math.isfinite, values)):
            raise ValueError(f"the box {list(box)} is not four numbers x0, y0, x1, y1")
        x0, y0, x1, y1 = values
        rows = slice(max(0, math.floor(y0)), min(size[0], math.ceil(y1)))
        columns = slice(max(0, math.floor(x0)), min(size[1], math.ceil(x1)))
        if not (x0 < x1 and y0 < y1 and rows.start < rows.stop and columns.start < columns.stop):
            raise ValueError(
                f"the box {list(box)} is empty or outside the picture of {size[1]} x {size[0]} pixels; boxes are "
                "x0, y0, x1, y1 with x0 < x1 and y0 < y1"
            )
        regions.append(Region(rows, columns))
    return regions
