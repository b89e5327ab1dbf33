"""The files that `predict.py` writes: one folder for each kind of result, in it the tree of the inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset import IGNORE_LABEL
from dataset.descriptions import DatasetDescription
from dataset.geometry import fit_matrix
from dataset.palette import colour_table
from dataset.reading import save_picture
from dataset.writing import whole_file, write_json
from utils.inference.canvas import Prediction
from utils.inference.people import Person
from utils.pictures.figures import Picture
from utils.pictures.overlays import cutout_picture, hard_alpha, overlay_picture, side_by_side_picture
from utils.prediction.names import SUFFIXES
from utils.prediction.plan import Outputs


@dataclass(frozen=True)
class PictureWriter:
    """Write what is wanted of parsed pictures; each file appears whole or not at all.

    keep: class indices that stay in a cut-out; predictions may have an alpha of theirs.
    mask_format: palette, or index for plain 8-bit gray.
    """

    outputs: Outputs
    description: DatasetDescription
    keep: Sequence[int]
    mask_format: str

    def write(self, name: str, picture: Picture, prediction: Prediction, people: Sequence[Person] | None) -> None:
        """Write the results of a picture (H, W, 3) RGB; raises OSError where the disk does not take them.

        Args:
            people: those in whose boxes the picture was parsed, in this order; None where it was parsed whole.
        """
        classes, description = prediction.classes, self.description
        drawn: dict[str, Callable[[], Image.Image]] = {
            "masks": lambda: mask_picture(classes, description, self.mask_format),
            "overlay": lambda: Image.fromarray(overlay_picture(picture, classes, description)),
            "side_by_side": lambda: Image.fromarray(side_by_side_picture(picture, classes, description)),
            "cutout": lambda: Image.fromarray(cutout_picture(picture, self._alpha(prediction))),
            "instances": lambda: person_picture(prediction, people, description, self.mask_format),
        }
        for kind in self.outputs.kinds:
            path = self.outputs.path(kind, name)
            if kind == "json":
                write_json(path, summary(prediction, people, description))
            elif kind == "logits":
                save_logits(path, prediction, description)
            elif SUFFIXES[kind] == ".jpg":
                save_picture(path, drawn[kind](), "JPEG", quality=92, subsampling=0)
            else:
                save_picture(path, drawn[kind](), "PNG")

    def _alpha(self, prediction: Prediction) -> NDArray[np.uint8]:
        return hard_alpha(prediction.classes, self.keep) if prediction.alpha is None else prediction.alpha


def mask_picture(classes: NDArray[np.uint8], description: DatasetDescription, mask_format: str) -> Image.Image:
    """Return a class map (H, W) as a picture whose values are the class indices.

    It is gray (index), or has a palette in the dataset's colours (palette).
    """
    picture = Image.fromarray(classes)
    if mask_format == "palette":
        picture.putpalette(description.palette.tobytes())
    return picture


def person_picture(
    prediction: Prediction, people: Sequence[Person] | None, description: DatasetDescription, mask_format: str
) -> Image.Image:
    """Return a picture whose values are the numbers of people, 0 where nobody is: gray (index), or with a palette.

    A picture that was parsed whole is one person. Where a number is larger than 255, as in a long video, it is 16-bit
    gray.
    """
    if people is None or prediction.people is None:
        numbers = (prediction.classes != description.background).astype(np.uint16)
    else:
        numbers = np.array([0, *person_numbers(people)], dtype=np.uint16)[prediction.people]
    if numbers.max() > 255:
        return Image.fromarray(numbers)
    picture = Image.fromarray(numbers.astype(np.uint8))
    if mask_format == "palette":
        picture.putpalette(colour_table().tobytes())
    return picture


def person_numbers(people: Sequence[Person]) -> list[int]:
    """Return what people are called in results: by their order, but in videos by numbers of their own."""
    return [place if person.number is None else person.number for place, person in enumerate(people, start=1)]


def summary(prediction: Prediction, people: Sequence[Person] | None, description: DatasetDescription) -> dict[str, Any]:
    """Return a picture's size, its classes and, where it was parsed in boxes, its people, as plain JSON types.

    Each class that occurs, background included, comes with its number of pixels, its percentage of the picture, and its
    bounding box [x0, y0, x1, y1], of which x1 and y1 are the first column and row outside; each person with number,
    box, score and classes, whose percentages are those of the picture, too.
    """
    classes = prediction.classes
    height, width = classes.shape
    values = {"height": height, "width": width, "classes": _class_entries(classes, description)}
    if people is None or prediction.people is None:
        return values
    entries = []
    for place, (person, number) in enumerate(zip(people, person_numbers(people), strict=True), start=1):
        found = _class_entries(classes, description, where=prediction.people == place)
        entries.append(
            {
                "number": number,
                "box": [round(side, 2) for side in person.box],
                "score": None if person.score is None else round(person.score, 4),
                "pixels": sum(entry["pixels"] for entry in found),
                "classes": found,
            }
        )
    return {**values, "people": entries}


def _class_entries(
    classes: NDArray[np.uint8], description: DatasetDescription, where: NDArray[np.bool_] | None = None
) -> list[dict[str, Any]]:
    """Return an entry for each class that occurs in a class map (H, W), or where a part of it (H, W) is set."""
    left, top, across, down = (0, 0, *classes.shape[::-1]) if where is None else cv2.boundingRect(where.view(np.uint8))
    part = (slice(top, top + down), slice(left, left + across))
    inside = classes[part] if where is None else np.where(where[part], classes[part], IGNORE_LABEL)
    found = []
    counts = np.bincount(inside.ravel(), minlength=256)[: description.num_classes]
    for index in np.flatnonzero(counts):
        x, y, width, height = cv2.boundingRect((inside == index).astype(np.uint8))
        x, y = x + left, y + top
        found.append(
            {
                "index": int(index),
                "name": description.class_names[index],
                "pixels": int(counts[index]),
                "percent": round(100 * float(counts[index]) / classes.size, 4),
                "box": [x, y, x + width, y + height],
            }
        )
    return found


def save_logits(path: Path, prediction: Prediction, description: DatasetDescription) -> None:
    """Write logits, class names, the picture's size, and the matrix from the logits' coordinates to the picture's."""
    assert prediction.logits is not None
    size, shape = prediction.classes.shape, prediction.logits.shape[1:]
    with whole_file(path) as file:
        np.savez(
            file,
            logits=prediction.logits,
            class_names=np.array(description.class_names),
            picture_size=np.array(size),
            to_picture=np.eye(2, 3) if shape == size else fit_matrix(size, shape, inverse=True),
        )
