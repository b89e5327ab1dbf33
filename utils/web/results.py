"""What the web page shows and hands out of a parsed picture."""

import base64
import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.descriptions import DatasetDescription
from utils.pictures.figures import Picture
from utils.pictures.overlays import cutout_picture, hard_alpha, overlay_picture
from utils.prediction.names import shortened
from utils.prediction.outputs import palette_picture

VIEW_SIDE = 1280
"""Pixels of the longer side of what the browser gets to show; downloads have the picture's own size."""


KINDS = ("mask", "overlay", "cutout")
"""What can be downloaded."""


@dataclass(frozen=True)
class Parsed:
    """A picture (H, W, 3) RGB with its class map (H, W), kept while a person looks at it."""

    name: str
    picture: Picture
    classes: NDArray[np.uint8]


def legend_rows(parsed: Parsed, description: DatasetDescription) -> list[dict[str, Any]]:
    """Return the classes in a picture, background left out: index, name, colour (CSS) and percentage."""
    colours = description.palette
    counts = np.bincount(parsed.classes.ravel(), minlength=256)
    return [
        {
            "index": index,
            "name": description.class_names[index],
            "colour": _css(colours[index]),
            "percent": round(100 * float(counts[index]) / parsed.classes.size, 4),
        }
        for index in description.foreground
        if counts[index]
    ]


def scene(parsed: Parsed, description: DatasetDescription, shown: Sequence[int]) -> dict[str, Any]:
    """Return what the browser needs to draw a parsed picture, and to tell the class below the pointer, by itself.

    The class map travels as packed bytes, not as a picture: browsers may change the pixels of pictures.
    """
    height, width = parsed.classes.shape
    scale = min(1.0, VIEW_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(parsed.picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else parsed.picture
    classes = cv2.resize(parsed.classes, size, interpolation=cv2.INTER_NEAREST) if scale < 1 else parsed.classes
    jpeg = io.BytesIO()
    Image.fromarray(small).save(jpeg, "JPEG", quality=88)
    return {
        "width": size[0],
        "height": size[1],
        "picture": f"data:image/jpeg;base64,{_base64(jpeg.getvalue())}",
        "classes": _base64(zlib.compress(classes.tobytes())),
        "names": list(description.class_names),
        "colours": description.palette[: description.num_classes].tolist(),
        "clear": description.background,
        "shown": list(shown),
    }


def download(
    kind: str, parsed: Parsed, description: DatasetDescription, shown: Sequence[int], opacity: float
) -> tuple[str, bytes]:
    """Return the file name and content of one of `KINDS`, at the picture's own size.

    The mask, a palette PNG whose values are the class indices, has all classes; overlay and cut-out those `shown`.
    """
    file = io.BytesIO()
    ending = f"-{kind}{'.jpg' if kind == 'overlay' else '.png'}"
    if kind == "mask":
        palette_picture(parsed.classes, description).save(file, "PNG")
    elif kind == "cutout":
        Image.fromarray(cutout_picture(parsed.picture, hard_alpha(parsed.classes, shown))).save(file, "PNG")
    else:
        clear = np.uint8(description.background)
        visible = np.where(np.isin(parsed.classes, np.asarray(shown, np.uint8)), parsed.classes, clear)
        blended = overlay_picture(parsed.picture, visible, description, opacity=opacity)
        Image.fromarray(blended).save(file, "JPEG", quality=92, subsampling=0)
    return shortened(parsed.name, 255 - len(ending)) + ending, file.getvalue()


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _css(colour: NDArray[np.uint8]) -> str:
    return "#" + bytes(colour).hex()
