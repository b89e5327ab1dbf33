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
from utils.pictures.overlays import cutout_picture, overlay_picture
from utils.prediction.names import shortened
from utils.prediction.outputs import mask_picture

VIEW_SIDE = 1280
"""Pixels of the longer side of what the browser gets to show; downloads have the picture's own size."""

KINDS = {"mask": "Mask", "overlay": "Overlay", "cutout": "Cut-out"}
"""What can be downloaded, and what its button says."""

PEOPLE = 256
"""The switch of a class has its index; that of a person this much more than the number in the person map."""


@dataclass(frozen=True)
class Parsed:
    """A picture (H, W, 3) RGB with its class map (H, W), kept while somebody looks at it.

    `alpha` (H, W), 0..255, says how much of each pixel is not background; `people` (H, W) which person it belongs to,
    0 = nobody, where people were looked for.
    """

    name: str
    picture: Picture
    classes: NDArray[np.uint8]
    alpha: NDArray[np.uint8]
    people: NDArray[np.uint8] | NDArray[np.uint16] | None = None

    @property
    def nbytes(self) -> int:
        """Bytes in memory."""
        maps = (self.picture, self.classes, self.alpha, self.people)
        return sum(values.nbytes for values in maps if values is not None)

    @property
    def numbers(self) -> range:
        """The numbers that people may have in the person map."""
        return range(1, 1 if self.people is None else int(self.people.max()) + 1)


def legend_rows(parsed: Parsed, description: DatasetDescription) -> list[dict[str, Any]]:
    """Return the switches of a picture, for the people and the classes in it, background left out.

    Each has its kind ("people", "classes"), index (see `PEOPLE`), name, percentage of the picture and, for classes,
    colour (CSS).
    """
    names = _names(parsed, description)
    counts = _pixel_counts(parsed.classes, 256)
    pixels = [] if parsed.people is None else _pixel_counts(parsed.people, parsed.numbers.stop)

    def row(kind: str, index: int, count: float, **more: str) -> dict[str, Any]:
        percent = round(100 * count / parsed.classes.size, 4)
        return {"kind": kind, "index": index, "name": names[index], "percent": percent, **more}

    people = [row("people", PEOPLE + number, pixels[number]) for number in parsed.numbers if pixels[number]]
    classes = [
        row("classes", index, counts[index], colour=f"#{bytes(description.palette[index]).hex()}")
        for index in description.foreground
        if counts[index]
    ]
    return people + classes


def scene(parsed: Parsed, description: DatasetDescription, shown: Sequence[int]) -> dict[str, Any]:
    """Return what the browser needs to draw a parsed picture, and to tell the class below the pointer, by itself.

    Class map and person map travel as packed bytes, not as pictures: browsers may change the pixels of pictures.

    Args:
        shown: the switches that are on.
    """
    height, width = parsed.classes.shape
    scale = min(1.0, VIEW_SIDE / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = cv2.resize(parsed.picture, size, interpolation=cv2.INTER_AREA) if scale < 1 else parsed.picture

    def packed(values: NDArray[Any]) -> str:
        smaller = cv2.resize(values, size, interpolation=cv2.INTER_NEAREST) if scale < 1 else values
        return base64.b64encode(zlib.compress(smaller.tobytes())).decode()

    jpeg = io.BytesIO()
    Image.fromarray(small).save(jpeg, "JPEG", quality=88)
    return {
        "width": size[0],
        "height": size[1],
        "picture": f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}",
        "classes": packed(parsed.classes),
        "people": None if parsed.people is None else packed(parsed.people.astype("<u2")),
        "first_person": PEOPLE,
        "names": {str(index): name for index, name in _names(parsed, description).items()},
        "colours": description.palette[: description.num_classes].tolist(),
        "shown": list(shown),
    }


def download(
    kind: str, parsed: Parsed, description: DatasetDescription, shown: Sequence[int], opacity: float
) -> tuple[str, bytes]:
    """Return the file name and content of one of `KINDS`, at the picture's own size.

    The mask, a palette PNG whose values are the class indices, has all classes and people; overlay and cut-out have
    those `shown`.
    """
    file = io.BytesIO()
    ending = f"-{kind}{'.jpg' if kind == 'overlay' else '.png'}"
    if kind == "mask":
        mask_picture(parsed.classes, description, "palette").save(file, "PNG")
    elif kind == "cutout":
        alpha = _visible_alpha(parsed, shown, description.background)
        Image.fromarray(cutout_picture(parsed.picture, alpha)).save(file, "PNG")
    else:
        classes = np.where(_visible(parsed, shown), parsed.classes, np.uint8(description.background))
        blended = overlay_picture(parsed.picture, classes, description, opacity=opacity)
        Image.fromarray(blended).save(file, "JPEG", quality=92, subsampling=0)
    return shortened(parsed.name, 255 - len(ending)) + ending, file.getvalue()


def _visible(parsed: Parsed, shown: Sequence[int]) -> NDArray[np.bool_]:
    """Return which pixels (H, W) have a class, and where there are people a person, that is switched on."""
    visible = np.isin(parsed.classes, np.array([index for index in shown if index < PEOPLE], np.uint8))
    if parsed.people is not None:
        visible &= np.isin(parsed.people, np.array([index - PEOPLE for index in shown if index > PEOPLE], np.uint16))
    return visible


def _visible_alpha(parsed: Parsed, shown: Sequence[int], background: int) -> NDArray[np.uint8]:
    """Return the alpha (H, W) of what is switched on.

    It is soft towards the background: that pixel of it which belongs to people in part goes with the nearest of theirs.
    """
    visible = _visible(parsed, shown)
    behind = parsed.classes == background
    if behind.any() and not behind.all():
        _, nearest = cv2.distanceTransformWithLabels(
            behind.view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_3, labelType=cv2.DIST_LABEL_PIXEL
        )
        of_people = np.zeros(int(nearest.max()) + 1, bool)
        of_people[nearest[~behind]] = visible[~behind]
        soft = behind & (parsed.alpha > 0)
        visible[soft] = of_people[nearest[soft]]
    return np.where(visible, parsed.alpha, np.uint8(0))


def _pixel_counts(values: NDArray[np.uint8] | NDArray[np.uint16], ends: int) -> list[float]:
    """Return how often each number below `ends` occurs in a map (H, W)."""
    # Many times as fast as `np.bincount`, which makes 64-bit numbers of all pixels first.
    return list(map(float, cv2.calcHist([values], [0], None, [ends], [0, ends]).ravel()))


def _names(parsed: Parsed, description: DatasetDescription) -> dict[int, str]:
    """Return what each switch is called."""
    people = {PEOPLE + number: f"Person {number}" for number in parsed.numbers}
    return dict(enumerate(description.class_names)) | people
