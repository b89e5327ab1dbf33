"""Curves as a picture, drawn with Pillow: nothing more is needed for a few points."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from utils.pictures.figures import Picture, font

COLOURS = ((31, 119, 180), (214, 39, 40), (44, 160, 44), (148, 103, 189))
WIDTH, HEIGHT = 420, 320
LEFT, RIGHT, TOP, BOTTOM = 62, 20, 34, 46
TICKS = 4


class Curve(NamedTuple):
    """Points with a name."""

    name: str
    x: Sequence[float]
    y: Sequence[float]


def plot(curves: Sequence[Curve], *, across: str, up: str) -> Picture:
    """Draw curves over common axes, both from zero; `across` and `up` say what these are. Returns RGB (H, W, 3)."""
    image = Image.new("RGB", (WIDTH, HEIGHT), "white")
    draw, text = ImageDraw.Draw(image), font(13)
    most_x = max(max(curve.x) for curve in curves) * 1.05
    most_y = max(max(curve.y) for curve in curves) * 1.1

    def place(x: float, y: float) -> tuple[float, float]:
        across_share, up_share = x / most_x, y / most_y
        return LEFT + across_share * (WIDTH - LEFT - RIGHT), HEIGHT - BOTTOM - up_share * (HEIGHT - TOP - BOTTOM)

    for tick in range(TICKS + 1):
        value = most_y * tick / TICKS
        draw.line([place(0, value), place(most_x, value)], fill=(225, 225, 225))
        draw.text((LEFT - 6, place(0, value)[1]), f"{value:.3g}", fill="black", font=text, anchor="rm")
    for value in sorted({x for curve in curves for x in curve.x}):
        draw.text((place(value, 0)[0], HEIGHT - BOTTOM + 4), f"{value:g}", fill="black", font=text, anchor="ma")
    draw.line([place(0, most_y), place(0, 0), place(most_x, 0)], fill="black", width=1)
    draw.text((WIDTH / 2, HEIGHT - 6), across, fill="black", font=text, anchor="ms")
    draw.text((6, 6), up, fill="black", font=text)
    for index, (curve, colour) in enumerate(zip(curves, COLOURS, strict=False)):
        points = [place(x, y) for x, y in zip(curve.x, curve.y, strict=True)]
        draw.line(points, fill=colour, width=2)
        for x, y in points:
            draw.ellipse([x - 3, y - 3, x + 3, y + 3], fill=colour)
        draw.text((LEFT + 10, TOP + 16 * index), curve.name, fill=colour, font=text)
    return np.asarray(image)
