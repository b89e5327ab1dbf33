"""Make the pictures of docs/pictures.md: borders and alpha, and a crowd, of drawn people.

    python -m tests.support.picture_examples snapshots/demo/DEMO_epoch_Best.pth docs/images

Nobody looks for people here: the boxes of the crowd are those of the drawing.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.palette import colour_table
from dataset.people import draw_person
from utils.inference import HumanParser
from utils.inference.people import Person, parsed_boxes
from utils.pictures.figures import Picture, overlay
from utils.pictures.overlays import cutout_picture, hard_alpha

SEED, SIZE, SHOWN = 58, (2000, 1340), (slice(150, 1000), slice(170, 1020))
CROWD_SEEDS, CROWD_SIZE, CROWD_STEP = range(7, 12), (480, 320), 190
BACKDROP = np.array([235, 225, 190], np.uint8)


def border_picture(parser: HumanParser) -> Picture:
    """Return a part of a drawn person: published borders, smooth ones, a hard and a soft alpha on a plain backdrop."""
    picture = _rgb(draw_person(SEED, SIZE)[0])
    published = parser.predict(picture, borders="published")
    smooth = parser.predict(picture, alpha_of=parser.description.foreground)
    assert smooth.alpha is not None
    maps = [parser.palette[classes] for classes in (published, smooth.classes)]
    hard = hard_alpha(published, parser.description.foreground)
    cutouts = [_on_backdrop(cutout_picture(picture, alpha)) for alpha in (hard, smooth.alpha)]
    shown = [part[SHOWN] for part in (picture, *maps, *cutouts)]
    return _row(shown, height=420)


def crowd_picture(parser: HumanParser) -> Picture:
    """Return a crowd of drawn people, parsed in the boxes of the drawing: classes, and who is who."""
    picture, people = draw_crowd()
    result = parser.predict(picture, person_boxes=parsed_boxes(people), return_people=True)
    assert result.people is not None
    classes = overlay(picture, result.classes, parser.palette, 0.75, clear=0)
    owners = overlay(picture, result.people.astype(np.uint8), colour_table(), 0.75, clear=0)
    return _row([picture, classes, owners], height=300)


def draw_crowd() -> tuple[Picture, list[Person]]:
    """Return drawn people (H, W, 3) RGB who stand so close that their boxes overlap."""
    height, width = CROWD_SIZE
    first, _ = draw_person(CROWD_SEEDS[0], CROWD_SIZE)
    wide = (CROWD_STEP * (len(CROWD_SEEDS) - 1) + width, height)
    canvas = np.asarray(cv2.resize(first[:, :40], wide), np.uint8)
    people = []
    for place, seed in enumerate(CROWD_SEEDS):
        drawn, label = draw_person(seed, CROWD_SIZE)
        left = place * CROWD_STEP
        there = canvas[:, left : left + width]
        np.copyto(there, drawn, where=(label > 0)[..., None])
        rows, columns = np.nonzero(label)
        people.append(Person((left + columns.min(), rows.min(), left + columns.max() + 1, rows.max() + 1)))
    return _rgb(canvas), people


def _rgb(picture: Picture) -> Picture:
    return np.ascontiguousarray(picture[..., ::-1])


def _on_backdrop(rgba: NDArray[np.uint8]) -> Picture:
    alpha = rgba[..., 3:] / 255
    return np.asarray((rgba[..., :3] * alpha + BACKDROP * (1 - alpha)).round(), np.uint8)


def _row(pictures: Sequence[Picture], height: int) -> Picture:
    """Put pictures beside each other, made so high, with white between them."""
    white = np.full((height, 8, 3), 255, np.uint8)
    cells: list[Picture] = []
    for picture in pictures:
        width = round(picture.shape[1] * height / picture.shape[0])
        cells += [np.asarray(cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA), np.uint8), white]
    return np.concatenate(cells[:-1], axis=1)


if __name__ == "__main__":
    trained, folder = HumanParser.from_checkpoint(sys.argv[1], "cpu"), Path(sys.argv[2])
    Image.fromarray(border_picture(trained)).save(folder / "borders.jpg", quality=88)
    Image.fromarray(crowd_picture(trained)).save(folder / "crowd.jpg", quality=88)
