"""The files that `predict.py` writes: one folder for each kind of result, in it the tree of the inputs."""

import io
from collections.abc import Callable, Sequence
from functools import partial
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset import IGNORE_LABEL
from dataset.descriptions import DatasetDescription
from dataset.geometry import fit_matrix
from dataset.palette import colour_table
from dataset.writing import json_bytes, whole_file
from utils.inference.canvas import Prediction
from utils.inference.people import Person
from utils.pictures.figures import Picture
from utils.pictures.overlays import cutout_picture, hard_alpha, overlay_picture, side_by_side_picture
from utils.prediction.plan import Outputs


class PictureWriter:
    """Write what is wanted of parsed pictures; each file appears whole or not at all.

    Args:
        keep: class indices that stay in a cut-out; predictions may have an alpha of theirs.
        mask_format: palette, or index for plain 8-bit gray.
    """

    def __init__(
        self,
        outputs: Outputs,
        description: DatasetDescription,
        keep: Sequence[int],
        mask_format: str = "palette",
    ) -> None:
        self.outputs = outputs
        self.description = description
        self.keep = keep
        self.mask_format = mask_format

    def write(
        self, name: str, picture: Picture, prediction: Prediction, people: Sequence[Person] | None = None
    ) -> None:
        """Write the results of a picture (H, W, 3) RGB; raises OSError where the disk does not take them.

        Args:
            people: those in whose boxes the picture was parsed, in this order; None where it was parsed whole.
        """
        classes, description = prediction.classes, self.description
        instances = partial(person_picture, prediction, people, description, self.mask_format)
        save: dict[str, Callable[[IO[bytes]], object]] = {
            "masks": lambda file: _save_picture(mask_picture(classes, description, self.mask_format), file),
            "overlay": lambda file: _save_jpeg(overlay_picture(picture, classes, description), file),
            "side_by_side": lambda file: _save_jpeg(side_by_side_picture(picture, classes, description), file),
            "cutout": lambda file: _save_picture(Image.fromarray(self._cutout(picture, prediction)), file),
            "instances": lambda file: _save_picture(instances(), file),
            "json": lambda file: file.write(json_bytes(self._summary(prediction, people))),
            "logits": lambda file: _save_logits(prediction, description, file),
        }
        for kind in self.outputs.kinds:
            with whole_file(self.outputs.path(kind, name)) as file:
                save[kind](file)

    def _summary(self, prediction: Prediction, people: Sequence[Person] | None) -> dict[str, Any]:
        found = summary(prediction.classes, self.description)
        return found if people is None else {**found, "people": people_summary(prediction, people, self.description)}

    def _cutout(self, picture: Picture, prediction: Prediction) -> NDArray[np.uint8]:
        alpha = prediction.alpha
        return cutout_picture(picture, hard_alpha(prediction.classes, self.keep) if alpha is None else alpha)


def mask_picture(classes: NDArray[np.uint8], description: DatasetDescription, mask_format: str) -> Image.Image:
    """Return a class map (H, W) as a picture whose values are the class indices: gray (index), or with a palette."""
    return Image.fromarray(classes) if mask_format == "index" else palette_picture(classes, description)


def palette_picture(classes: NDArray[np.uint8], description: DatasetDescription) -> Image.Image:
    """Return a class map (H, W) as a palette picture: its values are the class indices, its colours the dataset's."""
    picture = Image.fromarray(classes)
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


def people_summary(
    prediction: Prediction, people: Sequence[Person], description: DatasetDescription
) -> list[dict[str, Any]]:
    """Return an entry for each person, as plain JSON types: number, box, score, and classes as in `summary`.

    Percentages are those of the picture.
    """
    entries = []
    for place, (person, number) in enumerate(zip(people, person_numbers(people), strict=True), start=1):
        own = np.zeros(prediction.classes.shape, bool) if prediction.people is None else prediction.people == place
        classes = _class_entries(prediction.classes, description, where=own)
        entries.append(
            {
                "number": number,
                "box": [round(side, 2) for side in person.box],
                "score": None if person.score is None else round(person.score, 4),
                "pixels": sum(entry["pixels"] for entry in classes),
                "classes": classes,
            }
        )
    return entries


def summary(classes: NDArray[np.uint8], description: DatasetDescription) -> dict[str, Any]:
    """Return a picture's size and its classes, background included, as plain JSON types.

    Each class that occurs comes with its number of pixels, its percentage of the picture, and its bounding box
    [x0, y0, x1, y1], of which x1 and y1 are the first column and row outside.
    """
    found = _class_entries(classes, description)
    return {"height": classes.shape[0], "width": classes.shape[1], "classes": found}


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


def _save_jpeg(picture: Picture, file: IO[bytes]) -> None:
    _save_picture(Image.fromarray(picture), file, "JPEG", quality=92, subsampling=0)


def _save_picture(picture: Image.Image, file: IO[bytes], file_format: str = "PNG", **options: Any) -> None:
    """Write a picture's file at one go: where Pillow itself writes to a disk that is full, it may say nothing."""
    content = io.BytesIO()
    picture.save(content, file_format, **options)
    file.write(content.getbuffer())


def _save_logits(prediction: Prediction, description: DatasetDescription, file: IO[bytes]) -> None:
    """Write logits, class names, the picture's size, and the matrix from the logits' coordinates to the picture's."""
    assert prediction.logits is not None
    size, shape = prediction.classes.shape, prediction.logits.shape[1:]
    identity = np.eye(2, 3)
    matrix = identity if shape == size else fit_matrix(size, shape, inverse=True)
    np.savez(
        file,
        logits=prediction.logits,
        class_names=np.array(description.class_names),
        picture_size=np.array(size),
        to_picture=matrix,
    )
