"""A picture of what a dataset is made of: one row a class, in the class's colour."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

ROW_HEIGHT, TOP, BOTTOM, MARGIN, PANEL_WIDTH, PANEL_GAP = 30, 100, 24, 28, 420, 90
SMALLEST_SHARE = 0.001  # percent; the left end of the logarithmic axis
INK, FAINT, OUTLINE, PAPER = (40, 40, 44), (222, 224, 228), (150, 150, 150), (255, 255, 255)
FONT = ImageFont.load_default(size=15)


class ChartColumn(NamedTuple):
    """One split: its name, and per class the share of pixels and of photographs showing it, (K,) percent."""

    name: str
    shares: NDArray[np.float64]
    presence: NDArray[np.float64]


def draw_class_chart(
    title: str, class_names: Sequence[str], colours: NDArray[np.uint8], columns: Sequence[ChartColumn]
) -> Image.Image:
    """Return bars per class and split: share of the pixels (logarithmic), share of the photographs (linear).

    colours: (256, 3) uint8 RGB. The first column's bars are the upper ones and in full colour.
    """
    shades = [(int(red), int(green), int(blue)) for red, green, blue in colours[: len(class_names)]]
    names_width = int(max(FONT.getlength(name) for name in class_names)) + 78
    left = MARGIN + names_width
    right = left + PANEL_WIDTH + PANEL_GAP
    height = TOP + ROW_HEIGHT * len(class_names) + BOTTOM
    picture = Image.new("RGB", (right + PANEL_WIDTH + PANEL_GAP, height), PAPER)
    draw = ImageDraw.Draw(picture)
    draw.text((MARGIN, 18), title, INK, ImageFont.load_default(size=21))
    for index, (name, shade) in enumerate(zip(class_names, shades, strict=True)):
        middle = TOP + ROW_HEIGHT * index + ROW_HEIGHT // 2
        draw.text((MARGIN + 26, middle), str(index), INK, FONT, anchor="rm")
        draw.rectangle((MARGIN + 36, middle - 8, MARGIN + 52, middle + 8), shade, OUTLINE)
        draw.text((MARGIN + 62, middle), name, INK, FONT, anchor="lm")
    names = " / ".join(column.name for column in columns)
    shares = np.stack([column.shares for column in columns], axis=1)
    presence = np.stack([column.presence for column in columns], axis=1)
    _draw_axis(draw, left, height, f"% of labelled pixels ({names})", _log_position, (0.001, 0.01, 0.1, 1, 10, 100))
    _draw_rows(draw, left, shares, _log_position, shades)
    _draw_axis(draw, right, height, f"% of photographs with the class ({names})", _linear_position, range(0, 101, 25))
    _draw_rows(draw, right, presence, _linear_position, shades)
    return picture


def _draw_axis(
    draw: ImageDraw.ImageDraw,
    left: int,
    height: int,
    caption: str,
    position: Callable[[float], float],
    ticks: Sequence[float],
) -> None:
    draw.text((left, 52), caption, INK, FONT)
    for tick in ticks:
        x = left + PANEL_WIDTH * position(tick)
        draw.line([(x, TOP - 4), (x, height - BOTTOM)], FAINT)
        draw.text((x, TOP - 8), f"{tick:g}", INK, FONT, anchor="ms")


def _draw_rows(
    draw: ImageDraw.ImageDraw,
    left: int,
    values: NDArray[np.float64],
    position: Callable[[float], float],
    shades: Sequence[tuple[int, int, int]],
) -> None:
    """Draw the bars of all classes; `values` is (K, splits) in percent."""
    for index, (row, shade) in enumerate(zip(values, shades, strict=True)):
        lengths = [PANEL_WIDTH * position(value) for value in row]
        top = TOP + ROW_HEIGHT * index
        _draw_bars(draw, left, top, lengths, shade)
        text = " / ".join(_short_number(value) for value in row)
        draw.text((left + max(lengths) + 6, top + ROW_HEIGHT / 2), text, INK, FONT, anchor="lm")


def _draw_bars(
    draw: ImageDraw.ImageDraw, left: int, top: int, lengths: Sequence[float], colour: tuple[int, int, int]
) -> None:
    """Draw a row's bars under one another, the later ones paler."""
    height = (ROW_HEIGHT - 8) / len(lengths)
    for place, length in enumerate(lengths):
        pale = 0.55 * place
        shade = tuple(round(value + (255 - value) * min(pale, 0.8)) for value in colour)
        y = top + 4 + place * height
        if length >= 1:
            draw.rectangle((left, y, left + length, y + height - 1), shade, OUTLINE)


def _log_position(percent: float) -> float:
    """Return where a share lies on the logarithmic axis, 0 .. 1."""
    smallest = np.log10(SMALLEST_SHARE)
    return float((np.log10(max(percent, SMALLEST_SHARE)) - smallest) / (2 - smallest))


def _linear_position(percent: float) -> float:
    return percent / 100


def _short_number(percent: float) -> str:
    digits = 0 if percent >= 9.95 or percent == 0 else 1 if percent >= 0.995 else 2
    return f"{percent:.{digits}f}" if percent == 0 or percent >= 0.005 else "<0.01"
