"""Pictures made of a photograph and its class map: overlay, side by side, cut-out."""

import math
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset.descriptions import DatasetDescription
from utils.pictures.figures import Picture, legend, overlay, stack

SHORTEST_SHOWN = 400
"""Pictures whose longer side is shorter are shown enlarged, or the legend would dwarf them."""


def overlay_picture(
    picture: Picture,
    classes: NDArray[np.uint8],
    description: DatasetDescription,
    *,
    shown: Sequence[int] | None = None,
    opacity: float = 0.6,
) -> Picture:
    """Blend a picture (H, W, 3) with its class map (H, W), with a legend of the classes `shown`.

    The default is the classes that occur; videos name them, so that all frames have one size.
    """
    picture, classes = _enlarged(picture, classes)
    blended = overlay(picture, classes, description.palette, opacity, clear=description.background)
    return _with_legend(blended, classes, shown, description)


def side_by_side_picture(
    picture: Picture, classes: NDArray[np.uint8], description: DatasetDescription, *, shown: Sequence[int] | None = None
) -> Picture:
    """Put a picture (H, W, 3) and its coloured class map (H, W) next to each other, with a legend as in an overlay."""
    picture, classes = _enlarged(picture, classes)
    both = np.concatenate([picture, description.palette[classes]], axis=1)
    return _with_legend(both, classes, shown, description)


def cutout_picture(picture: Picture, alpha: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return (H, W, 4) RGBA: a picture with its alpha (H, W), 0..255; what is wholly transparent is black."""
    return np.dstack([picture * (alpha > 0)[..., None], alpha])


def hard_alpha(classes: NDArray[np.uint8], keep: Sequence[int]) -> NDArray[np.uint8]:
    """Return an alpha (H, W) that is 255 where a class map has one of the classes `keep`, and 0 elsewhere."""
    return np.isin(classes, np.asarray(keep, dtype=np.uint8)).astype(np.uint8) * np.uint8(255)


def _enlarged(picture: Picture, classes: NDArray[np.uint8]) -> tuple[Picture, NDArray[np.uint8]]:
    factor = math.ceil(SHORTEST_SHOWN / max(classes.shape))
    if factor <= 1:
        return picture, classes
    size = (classes.shape[1] * factor, classes.shape[0] * factor)
    larger = cv2.resize(picture, size, interpolation=cv2.INTER_CUBIC)
    return np.asarray(larger, np.uint8), classes.repeat(factor, axis=0).repeat(factor, axis=1)


def _with_legend(
    picture: Picture, classes: NDArray[np.uint8], shown: Sequence[int] | None, description: DatasetDescription
) -> Picture:
    """Put a legend beside a picture that is higher than wide, and otherwise, or where it is too long, below."""
    if shown is None:
        counts = np.bincount(classes.ravel(), minlength=256)
        shown = [index for index in description.foreground if counts[index]]
    if not shown:
        return picture
    height, width = picture.shape[:2]
    text_size = max(13, round(math.sqrt(height * width) / 60))
    names, colours = [description.class_names[index] for index in shown], description.palette[list(shown)]
    column = legend(names, colours, 0, text_size=text_size)
    if height > width and column.shape[0] <= height:
        return stack([picture, column], axis=1)
    return stack([picture, legend(names, colours, width, text_size=text_size)])
