"""What the tests of predict.py share: drawn pictures and videos to parse, and results read back."""

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.people import draw_person
from tests.support.films import RATE, all_frames, write_film
from tests.support.tiny_parser import LIP
from utils.prediction.record import RECORD_FILE

Run = Callable[..., int]
"""`predict.main` with a tiny network, in a temporary folder, results in `out`: the fixture `run`."""


def person(seed: int, size: tuple[int, int] = (60, 45)) -> NDArray[np.uint8]:
    return np.ascontiguousarray(draw_person(seed, size)[0][..., ::-1])


def save(path: Path, seed: int = 0, size: tuple[int, int] = (60, 45)) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(person(seed, size)).save(path)
    return path


def written(folder: Path) -> set[str]:
    """Return all files in a folder but the record of what they were made from, with forward slashes."""
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    return files - {RECORD_FILE}


def mask(path: Path) -> NDArray[np.uint8]:
    with Image.open(path) as picture:
        assert picture.mode == "P"
        assert picture.getpalette() == LIP.palette.ravel().tolist()
        return np.asarray(picture)


def make_video(path: Path, frames: int, size: tuple[int, int] = (62, 46), rate: Fraction = RATE) -> Path:
    """Write drawn people, MPEG-4 or, in an AVI file, motion JPEG."""
    return write_film(path, [person(number, size) for number in range(frames)], rate=rate)


def frames_of(path: Path) -> list[NDArray[np.uint8]]:
    return [frame.pixels for frame in all_frames(path)]
