"""A picture of what a dataset is made of: one row a class, in the class's colour."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dataset.content import SplitContent
from dataset.descriptions import DatasetDescription
from dataset.palette import Colour

ROW_HEIGHT, TOP, BOTTOM, MARGIN, PANEL_WIDTH, PANEL_GAP = 30, 100, 24, 28, 420, 90
SMALLEST_SHARE = 0.001  # percent; the left end of the logarithmic axis
INK, FAINT, OUTLINE, PAPER = (40, 40, 44), (222, 224, 228), (150, 150, 150), (255, 255, 255)
FONT = ImageFont.load_default(size=15)


def draw_class_chart(description: DatasetDescription, contents: Mapping[str, SplitContent]) -> Image.Image:
    """Return bars per class and split: share of the pixels (logarithmic), share of the photographs (linear).

    The first split's bars are the upper ones and in full colour.
    """
    names = description.class_names
    shades = [(red, green, blue) for red, green, blue in description.palette[: len(names)].tolist()]
    left = MARGIN + int(max(FONT.getlength(name) for name in names)) + 78
    right = left + PANEL_WIDTH + PANEL_GAP
    picture = Image.new("RGB", (right + PANEL_WIDTH + PANEL_GAP, TOP + ROW_HEIGHT * len(names) + BOTTOM), PAPER)
    draw = ImageDraw.Draw(picture)
    numbers = " and ".join(f"{len(content.sizes)} {split}" for split, content in contents.items())
    title = f"{description.name}: {numbers} photographs"
    draw.text((MARGIN, 18), title, INK, ImageFont.load_default(size=21))
    for index, (name, shade) in enumerate(zip(names, shades, strict=True)):
        middle = TOP + ROW_HEIGHT * index + ROW_HEIGHT // 2
        draw.text((MARGIN + 26, middle), str(index), INK, FONT, anchor="rm")
        draw.rectangle((MARGIN + 36, middle - 8, MARGIN + 52, middle + 8), shade, OUTLINE)
        draw.text((MARGIN + 62, middle), name, INK, FONT, anchor="lm")
    shares = np.stack([content.shares() for content in contents.values()], axis=1)
    presence = np.stack([content.presence() for content in contents.values()], axis=1)
    splits = " / ".join(contents)
    draw.text((left, 52), f"% of labelled pixels ({splits})", INK, FONT)
    _draw_panel(draw, left, shares, shades, _log_position, (0.001, 0.01, 0.1, 1, 10, 100))
    draw.text((right, 52), f"% of photographs with the class ({splits})", INK, FONT)
    _draw_panel(draw, right, presence, shades, lambda percent: percent / 100, range(0, 101, 25))
    return picture


def _draw_panel(
    draw: ImageDraw.ImageDraw,
    left: int,
    values: NDArray[np.float64],
    shades: Sequence[Colour],
    position: Callable[[float], float],
    ticks: Sequence[float],
) -> None:
    """Draw an axis and the bars of all classes; `values` is (K, splits) in percent, `position` on the axis 0 .. 1."""
    for tick in ticks:
        x = left + PANEL_WIDTH * position(tick)
        draw.line([(x, TOP - 4), (x, TOP + ROW_HEIGHT * len(values))], FAINT)
        draw.text((x, TOP - 8), f"{tick:g}", INK, FONT, anchor="ms")
    bar_height = (ROW_HEIGHT - 8) / values.shape[1]
    for index, (row, colour) in enumerate(zip(values, shades, strict=True)):
        top = TOP + ROW_HEIGHT * index
        lengths = [PANEL_WIDTH * position(value) for value in row]
        for place, length in enumerate(lengths):  # under one another, the later ones paler
            shade = tuple(round(value + (255 - value) * min(0.55 * place, 0.8)) for value in colour)
            y = top + 4 + place * bar_height
            if length >= 1:
                draw.rectangle((left, y, left + length, y + bar_height - 1), shade, OUTLINE)
        text = " / ".join(_short_number(value) for value in row)
        draw.text((left + max(lengths) + 6, top + ROW_HEIGHT / 2), text, INK, FONT, anchor="lm")


def _log_position(percent: float) -> float:
    """Return where a share lies on the logarithmic axis, 0 .. 1."""
    smallest = np.log10(SMALLEST_SHARE)
    return float((np.log10(max(percent, SMALLEST_SHARE)) - smallest) / (2 - smallest))


def _short_number(percent: float) -> str:
    digits = 0 if percent >= 9.95 or percent == 0 else 1 if percent >= 0.995 else 2
    return f"{percent:.{digits}f}" if percent == 0 or percent >= 0.005 else "<0.01"
