"""What the tests of predict.py share: drawn pictures and videos to parse, and results read back."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.people import draw_person
from tests.support.tiny_parser import LIP
from utils.prediction.record import RECORD_FILE
from utils.prediction.video import VideoReader

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


def make_video(path: Path, frames: int, size: tuple[int, int] = (62, 46), rate: float = 12.5) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    code = cv2.VideoWriter.fourcc(*("MJPG" if path.suffix == ".avi" else "mp4v"))
    writer = cv2.VideoWriter(str(path), code, rate, size[::-1])
    for number in range(frames):
        writer.write(draw_person(number, size)[0])
    writer.release()
    return path


def frames_of(path: Path) -> tuple[list[NDArray[np.uint8]], float]:
    with VideoReader(path) as reader:
        frames = [reader.read() for _ in range(reader.frame_count)]
        assert reader.read() is None
        return [frame for frame in frames if frame is not None], reader.frame_rate
