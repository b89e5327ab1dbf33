"""Colours by class: what palette PNGs, charts and picture grids paint a class with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, 0 .. 255."""

LIP: tuple[Colour, ...] = (
    (0, 0, 0),
    (128, 0, 0),
    (255, 0, 0),
    (0, 85, 0),
    (170, 0, 51),
    (255, 85, 0),
    (0, 0, 85),
    (0, 119, 221),
    (85, 85, 0),
    (0, 85, 85),
    (85, 51, 0),
    (52, 86, 128),
    (0, 128, 0),
    (0, 0, 255),
    (51, 170, 221),
    (0, 255, 255),
    (85, 255, 170),
    (170, 255, 85),
    (255, 255, 0),
    (255, 170, 0),
)
"""The colours LIP was published with, by class; CIHP's classes take the same places."""


def colour_table(colours: Sequence[Colour] = ()) -> NDArray[np.uint8]:
    """Return a colour for each value of a class map, (256, 3) uint8 RGB: the given ones, then PASCAL VOC's.

    The value 255 (ignore) is always cream (224, 224, 192).
    """
    table = _voc_colour_map()
    table[: len(colours)] = np.array(colours, dtype=np.uint8).reshape(-1, 3)
    return table


def _voc_colour_map() -> NDArray[np.uint8]:
    """Return the PASCAL VOC colour map, (256, 3) uint8 RGB.

    Bits 0, 1, 2 of the index are the highest bits of red, green and blue; bits 3, 4, 5 the next lower ones;
    and so on. Neighbouring indices therefore get colours far apart.
    """
    index = np.arange(256)[:, None]
    channel = np.arange(3)
    colours = np.zeros((256, 3), dtype=np.int64)
    for group in range(3):
        colours |= (index >> (3 * group + channel) & 1) << (7 - group)
    return colours.astype(np.uint8)
