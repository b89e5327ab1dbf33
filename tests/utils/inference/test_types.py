"""What a type checker knows of predictions: mypy reads the types here, and the tests see that they are true."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from typing_extensions import assert_type

from tests.support.tiny_parser import CROP, tiny_parser
from utils.inference import HumanParser
from utils.inference.canvas import Prediction

ClassMap = NDArray[np.uint8]


@pytest.fixture(scope="module")
def parser() -> HumanParser:
    return tiny_parser()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    Image.new("RGB", (9, 12)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_a_picture_gives_a_class_map_and_with_logits_a_prediction(parser: HumanParser, path: Path) -> None:
    classes = assert_type(parser.predict(str(path), person_boxes=[(0, 0, 5, 5)]), ClassMap)
    assert (classes.shape, classes.dtype) == ((12, 9), np.uint8)
    prediction = assert_type(parser.predict(path, return_logits="network"), Prediction)
    assert isinstance(prediction, Prediction)
    assert prediction.logits is not None
    assert prediction.logits.shape == (20, *CROP)
    classes, logits = prediction
    assert classes is prediction.classes
    assert logits is prediction.logits
    assert_type(parser.predict(path, return_people=True), Prediction)
    assert_type(parser.predict(path, alpha_of=[1], borders="published"), Prediction)


def test_a_list_or_tuple_of_pictures_gives_a_list(parser: HumanParser, path: Path) -> None:
    same, mixed = [path, path], (str(path), Image.open(path), np.zeros((5, 4, 3), np.uint8))
    assert [len(classes) for classes in assert_type(parser.predict(same), list[ClassMap])] == [12, 12]
    assert [len(classes) for classes in assert_type(parser.predict(mixed), list[ClassMap])] == [12, 12, 5]
    predictions = assert_type(parser.predict(same, return_logits="picture"), list[Prediction])
    assert [isinstance(prediction, Prediction) for prediction in predictions] == [True, True]


def test_items_come_back_with_their_own_types(parser: HumanParser, path: Path) -> None:
    items = [("a", path, None), ("b", path, [(0, 0, 5, 5)]), ("c", path, [])]
    result = assert_type(list(parser.predict_items(items, batch_size=2)), list[tuple[str, Prediction]])
    whole = parser.predict(path)
    assert [name for name, _ in result] == ["a", "b", "c"]
    np.testing.assert_array_equal(result[0][1].classes, whole)
    assert not result[2][1].classes.any()
