"""Colours by class: what palette PNGs, charts and picture grids paint a class with."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Colour = tuple[int, int, int]
"""Red, green, blue, 0 .. 255."""

_LIP = """000000 800000 ff0000 005500 aa0033 ff5500 000055 0077dd 555500 005555
          553300 345680 008000 0000ff 33aadd 00ffff 55ffaa aaff55 ffff00 ffaa00"""
LIP: tuple[Colour, ...] = tuple((red, green, blue) for red, green, blue in map(bytes.fromhex, _LIP.split()))
"""The colours LIP was published with, by class; CIHP's classes take the same places."""


def colour_table(colours: Sequence[Colour] = ()) -> NDArray[np.uint8]:
    """Return a colour for each value of a class map, (256, 3) uint8 RGB: the given ones, then PASCAL VOC's.

    In PASCAL VOC's colour map, bits 0, 1, 2 of the index are the highest bits of red, green and blue; bits 3, 4, 5 the
    next lower ones; and so on: neighbouring indices get colours far apart. Value 255 (ignore) is cream (224, 224, 192).
    """
    index, channel = np.arange(256)[:, None], np.arange(3)
    table = np.zeros((256, 3), dtype=np.uint8)
    for group in range(3):
        table |= ((index >> (3 * group + channel) & 1) << (7 - group)).astype(np.uint8)
    table[: len(colours)] = np.array(colours, dtype=np.uint8).reshape(-1, 3)
    return table
