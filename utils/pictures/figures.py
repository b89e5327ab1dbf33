"""Pictures of what a parser does: coloured class maps, grids of them with captions, legends, confusions."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from dataset import reading
from utils.metrics import ConfusionMatrix

Picture = NDArray[np.uint8]
"""(H, W, 3) RGB."""

_MARGIN = 6
_INK = (40, 40, 40)

font = ImageFont.load_default
"""From a size in pixels to the font that Pillow carries with it."""


def overlay(
    picture: Picture, classes: NDArray[np.uint8], palette: NDArray[np.uint8], opacity: float = 0.6, *, clear: int = 0
) -> Picture:
    """Blend a picture with its class map (H, W) in a palette's colours, (256, 3) RGB; the class `clear` is left out."""
    blended = cv2.addWeighted(picture, 1 - opacity, palette[classes], opacity, 0)
    return np.where((classes == clear)[..., None], picture, blended).astype(np.uint8, copy=False)


def fit(picture: Picture, size: tuple[int, int], *, smooth: bool = True) -> Picture:
    """Scale a picture into (height, width), keeping its aspect, on white; `smooth` is for photographs."""
    scale = min(size[0] / picture.shape[0], size[1] / picture.shape[1])
    width, height = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    interpolation = cv2.INTER_NEAREST if not smooth else cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    canvas = np.full((*size, 3), 255, dtype=np.uint8)
    top, left = (size[0] - height) // 2, (size[1] - width) // 2
    canvas[top : top + height, left : left + width] = cv2.resize(picture, (width, height), interpolation=interpolation)
    return canvas


def grid(rows: Sequence[Sequence[Picture]], captions: Sequence[str]) -> Picture:
    """Arrange rows of pictures, all of one size, in a table whose columns have captions."""
    height, width = rows[0][0].shape[:2]
    caption_height = 22
    columns = len(rows[0])
    canvas = Image.new(
        "RGB",
        (columns * (width + _MARGIN) + _MARGIN, len(rows) * (height + _MARGIN) + caption_height + _MARGIN),
        "white",
    )
    draw = ImageDraw.Draw(canvas)
    for column, caption in enumerate(captions):
        center = _MARGIN + column * (width + _MARGIN) + width / 2
        draw.text((center, caption_height / 2 + 2), caption, fill=_INK, font=font(13), anchor="mm")
    for i, row in enumerate(rows):
        for column, picture in enumerate(row):
            place = (_MARGIN + column * (width + _MARGIN), caption_height + _MARGIN + i * (height + _MARGIN))
            canvas.paste(Image.fromarray(picture), place)
    return np.asarray(canvas)


def legend(class_names: Sequence[str], palette: NDArray[np.uint8], width: int, *, text_size: int = 13) -> Picture:
    """Return coloured squares with class names, in as many columns as fit into `width` pixels."""
    letters = font(text_size)
    row_height, size, gap = round(text_size * 20 / 13), round(text_size * 12 / 13), round(text_size * 6 / 13)
    column_width = max(round(letters.getlength(name)) for name in class_names) + size + 5 * gap
    columns = max(1, (width - gap) // column_width)
    rows = -(-len(class_names) // columns)
    canvas = Image.new("RGB", (max(width, column_width + gap), rows * row_height + 2 * gap), "white")
    draw = ImageDraw.Draw(canvas)
    for index, name in enumerate(class_names):
        x = gap + (index % columns) * column_width
        y = gap + (index // columns) * row_height + row_height // 2
        colour = tuple(int(value) for value in palette[index])
        draw.rectangle((x, y - size // 2, x + size, y + size // 2), fill=colour, outline=_INK)
        draw.text((x + size + gap, y), name, fill=_INK, font=letters, anchor="lm")
    return np.asarray(canvas)


def stack(pictures: Sequence[Picture], axis: int = 0) -> Picture:
    """Put pictures below each other, or beside each other (axis 1), on white."""
    across = 1 - axis
    longest = max(picture.shape[across] for picture in pictures)
    padded = []
    for picture in pictures:
        margins = [(0, 0), (0, 0), (0, 0)]
        margins[across] = (0, longest - picture.shape[across])
        padded.append(np.pad(picture, margins, constant_values=255))
    return np.concatenate(padded, axis=axis)


def confusion_picture(confusion: ConfusionMatrix, class_names: Sequence[str]) -> Picture:
    """Draw a confusion matrix [label, prediction]: each row is a class's pixels in percent of the class."""
    shares = 100.0 * confusion.matrix / np.maximum(confusion.labelled, 1)[:, None]
    cell = 34 if len(class_names) <= 40 else 12
    margin = round(max(font(13).getlength(name) for name in class_names)) + 34
    size = margin + cell * len(class_names) + 2 * _MARGIN
    canvas = Image.new("RGB", (size, size), "white")
    draw = ImageDraw.Draw(canvas)
    for row, name in enumerate(class_names):
        y = margin + row * cell
        draw.text((margin - 6, y + cell / 2), name, fill=_INK, font=font(min(13, cell)), anchor="rm")
        upwards = Image.new("RGB", (margin - 28, cell), "white")  # the same name, above its column
        ImageDraw.Draw(upwards).text((0, cell / 2), name, fill=_INK, font=font(min(13, cell)), anchor="lm")
        canvas.paste(upwards.rotate(90, expand=True), (y, 22))
        for column in range(len(class_names)):
            share = shares[row, column]
            # The square root lets rare confusions show; white is none, dark blue all of the class.
            blue = (share / 100) ** 0.5
            x = margin + column * cell
            fill = (round(255 - 247 * blue), round(255 - 207 * blue), round(255 - 148 * blue))
            draw.rectangle((x, y, x + cell - 1, y + cell - 1), fill=fill, outline=(225, 225, 225))
            if cell >= 30 and share >= 0.5:
                ink = "white" if blue > 0.6 else _INK
                draw.text((x + cell / 2, y + cell / 2), f"{share:.0f}", fill=ink, font=font(12), anchor="mm")
    draw.text((margin + cell * len(class_names) / 2, 12), "prediction", fill=_INK, font=font(14), anchor="mm")
    draw.text((8, 12), "label (rows, % of its pixels)", fill=_INK, font=font(14), anchor="lm")
    return np.asarray(canvas)


def save_picture(picture: Picture, path: str | Path) -> None:
    """Write a picture whole or not at all, as a JPEG if the path ends so, else as a PNG. Raises OSError."""
    is_jpeg = Path(path).suffix.lower() in (".jpg", ".jpeg")
    reading.save_picture(path, Image.fromarray(picture), "JPEG" if is_jpeg else "PNG")
