"""Drawn people as people hand them over: RGB arrays and encoded files."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from dataset.people import draw_person


def drawn(seed: int = 3, size: tuple[int, int] = (240, 160)) -> NDArray[np.uint8]:
    """Return a drawn person, (H, W, 3) RGB."""
    return np.ascontiguousarray(draw_person(seed, size)[0][..., ::-1])


def encoded(picture: NDArray[np.uint8], kind: str = "PNG", **options: Any) -> bytes:
    """Return the bytes of a picture file."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, kind, **options)
    return file.getvalue()
