"""A made-up repository of the form in which Clothing Co-Parsing is published."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from dataset.prepare_ccp import CLASS_TAGS

scipy_io = pytest.importorskip("scipy.io", reason="scipy reads and writes the MATLAB files")

TAGS = ["null", *sorted(tag for names in CLASS_TAGS.values() for tag in names.split() if tag != "null")]
HAIR, SKIN, BOOTS = TAGS.index("hair"), TAGS.index("skin"), TAGS.index("boots")


def person(
    height: int = 300, width: int = 200, box: tuple[int, int, int, int] = (50, 250, 60, 140)
) -> NDArray[np.uint8]:
    """Return tag numbers: hair, skin and boots in a box (top, bottom, left, right)."""
    tags = np.zeros((height, width), np.uint8)
    top, bottom, left, right = box
    third = (bottom - top) // 3
    tags[top : top + third, left:right] = HAIR
    tags[top + third : bottom - third, left:right] = SKIN
    tags[bottom - third : bottom, left:right] = BOOTS
    return tags


def make_repository(source: Path, tags_by_id: Mapping[str, NDArray[np.uint8]]) -> Path:
    """Write photographs with their tags into a repository, and return its folder."""
    for folder in ("photos", "annotations/pixel-level"):
        (source / folder).mkdir(parents=True, exist_ok=True)
    scipy_io.savemat(source / "label_list.mat", {"label_list": np.array(TAGS, dtype=object)[None]})
    for name, tags in tags_by_id.items():
        photograph = np.repeat((tags * 4)[..., None], 3, axis=2)
        Image.fromarray(photograph).save(source / f"photos/{name}.jpg", quality=95)
        scipy_io.savemat(source / f"annotations/pixel-level/{name}.mat", {"groundtruth": tags})
    return source
