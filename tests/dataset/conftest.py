"""Small datasets in the folders that the published ones come in."""

from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest

# Written out here again, so that a test notices when the project looks elsewhere.
PUBLISHED_FOLDERS: dict[str, dict[str, tuple[str, str, str | None]]] = {
    "lip": {
        "train": ("train_images", "train_segmentations", "train_id.txt"),
        "val": ("val_images", "val_segmentations", "val_id.txt"),
    },
    "cihp": {
        "train": ("Training/Images", "Training/Category_ids", "Training/train_id.txt"),
        "val": ("Validation/Images", "Validation/Category_ids", "Validation/val_id.txt"),
    },
    "ade20k": {
        "train": ("images/training", "annotations/training", None),
        "val": ("images/validation", "annotations/validation", None),
    },
    "voc": {
        "train": ("JPEGImages", "SegmentationClassAug", "list/train_id.txt"),
        "val": ("JPEGImages", "SegmentationClassAug", "list/val_id.txt"),
    },
    "voc_parts": {
        "train": ("JPEGImages", "SegmentationPart", "list/train_id.txt"),
        "val": ("JPEGImages", "SegmentationPart", "list/val_id.txt"),
    },
}


@pytest.fixture
def make_dataset(tmp_path: Path) -> Callable[..., Path]:
    """Return a function that writes a dataset of random photographs, `size` (height, width), and its root."""

    def make(
        layout: str = "lip",
        *,
        root: str = "data",
        train: Sequence[str] = ("t1", "t2", "t3"),
        val: Sequence[str] = ("v1", "v2"),
        size: tuple[int, int] = (40, 30),
        values: tuple[int, int] = (0, 20),
    ) -> Path:
        rng = np.random.default_rng(0)
        folder = tmp_path / root
        for split, ids in (("train", train), ("val", val)):
            images, labels, id_list = PUBLISHED_FOLDERS[layout][split]
            for path in (images, labels, id_list or images):
                (folder / path if path != id_list else (folder / path).parent).mkdir(parents=True, exist_ok=True)
            for name in ids:
                cv2.imwrite(str(folder / images / f"{name}.jpg"), rng.integers(0, 256, (*size, 3), np.uint8))
                cv2.imwrite(str(folder / labels / f"{name}.png"), rng.integers(*values, size, np.uint8))
            if id_list:
                (folder / id_list).write_text("".join(f"{name}\n" for name in ids))
        return folder

    return make
