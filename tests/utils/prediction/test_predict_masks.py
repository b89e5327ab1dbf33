"""Masks as other programs read them."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from dataset.layouts import Sample
from tests.support.predicting import Run, mask, person, save
from tests.support.tiny_parser import LIP
from utils.evaluation.cli import save_to
from utils.inference import HumanParser


def test_index_masks_are_class_indices_to_every_program(run: Run, parser: HumanParser, tmp_path: Path) -> None:
    save(tmp_path / "a.png", 3, (90, 60))
    expected = parser.predict(person(3, (90, 60)))
    path = tmp_path / "out/masks/a.png"
    assert run("--input", "a.png", "--mask-format", "index") == 0
    with Image.open(path) as picture:
        assert picture.mode == "L"
        np.testing.assert_array_equal(np.asarray(picture), expected)
    for flag in (cv2.IMREAD_GRAYSCALE, cv2.IMREAD_UNCHANGED):
        np.testing.assert_array_equal(cv2.imread(str(path), flag), expected)


def test_opencv_does_not_read_palette_masks_as_class_indices(run: Run, tmp_path: Path) -> None:
    """What docs/pictures.md warns of; if OpenCV learns it, the warning can go."""
    save(tmp_path / "a.png", 3, (90, 60))
    assert run("--input", "a.png") == 0
    path = tmp_path / "out/masks/a.png"
    classes = mask(path)
    assert not np.array_equal(np.asarray(cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)), classes)
    unchanged = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    assert unchanged is not None
    assert unchanged.shape == (90, 60, 3)


def test_predictions_of_an_evaluation_have_either_format(tmp_path: Path) -> None:
    classes = np.arange(20, dtype=np.uint8)[None]
    for mask_format, mode in (("palette", "P"), ("index", "L")):
        save_to(str(tmp_path / mode), LIP, mask_format)(Sample("a", Path("a.jpg"), None), classes)
        with Image.open(tmp_path / mode / "a.png") as picture:
            assert picture.mode == mode
            np.testing.assert_array_equal(np.asarray(picture), classes)
