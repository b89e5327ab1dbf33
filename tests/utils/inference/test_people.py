"""Several people in one picture: who gets which pixel, and what the results say of it."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from dataset.descriptions import DatasetDescription
from dataset.people import draw_person
from tests.support.tiny_parser import CROP, LIP, tiny_parser
from utils.inference import HumanParser

CPU = torch.device("cpu")
LEFT, RIGHT = (0, 0, 80, 90), (40, 0, 120, 90)


class BrightnessEngine:
    """Each crop is one class all over, and the brighter it is the surer: class 1 for pure red, class 2 for others."""

    device = CPU

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        mean = images.mean(dim=(2, 3))
        logits = torch.zeros(len(images), 3, *CROP)
        for own, (blue, _, red) in zip(logits, mean.tolist(), strict=True):
            own[1 if red > blue else 2] = 5 + red + blue
        return logits


PLAIN = DatasetDescription(name="plain", class_names=("nothing", "red", "blue"))


@pytest.mark.parametrize("borders", ["smooth", "published"])
@pytest.mark.parametrize("brighter", ["left", "right"])
def test_who_is_surer_gets_the_overlap_whatever_the_order(borders: Any, brighter: str) -> None:
    picture = np.zeros((90, 120, 3), np.uint8)
    picture[:, :40, 0], picture[:, 80:, 2] = (250, 90) if brighter == "left" else (90, 250)
    parser = HumanParser(BrightnessEngine(), PLAIN, CROP)
    options: dict[str, Any] = {"borders": borders, "mirror": False, "return_people": True}
    first = parser.predict(picture, person_boxes=[LEFT, RIGHT], **options)
    second = parser.predict(picture, person_boxes=[RIGHT, LEFT], **options)
    middle = 1 if brighter == "left" else 2
    assert (first.classes[5:80, 45:75] == middle).all()
    assert first.people is not None
    assert second.people is not None
    assert (first.people[5:80, 45:75] == middle).all()
    assert (first.people[5:80, 5:35] == 1).all()
    assert (first.people[5:80, 85:115] == 2).all()
    np.testing.assert_array_equal(first.classes, second.classes)
    np.testing.assert_array_equal(np.array([0, 2, 1])[second.people], first.people)


@pytest.fixture(scope="module")
def picture() -> NDArray[np.uint8]:
    return np.ascontiguousarray(draw_person(2, (96, 160))[0][..., ::-1])


def test_boxes_are_parsed_like_pictures_and_background_covers_nothing(picture: NDArray[np.uint8]) -> None:
    parser = tiny_parser()
    boxes = [(10, 5, 90, 80), (60.5, 20.2, 139.1, 96)]
    result = parser.predict(picture, person_boxes=boxes, return_people=True)
    first, second = parser.predict(picture[5:80, 10:90]), parser.predict(picture[20:96, 60:140])
    claims = np.zeros((2, 96, 160), np.uint8)
    claims[0, 5:80, 10:90], claims[1, 20:96, 60:140] = first, second
    assert result.people is not None
    one = np.count_nonzero(claims, axis=0) == 1
    both = np.count_nonzero(claims, axis=0) == 2
    np.testing.assert_array_equal(result.classes[one], claims.max(axis=0)[one])
    np.testing.assert_array_equal(result.people[one], 1 + claims.argmax(axis=0)[one])
    assert ((result.people == 0) == (claims == 0).all(axis=0)).all()
    owner = result.people.clip(1) - 1
    np.testing.assert_array_equal(result.classes[both], np.take_along_axis(claims, owner[None], 0)[0][both])
    assert set(np.unique(result.people[both])) == {1, 2}


def test_the_order_of_boxes_does_not_matter(picture: NDArray[np.uint8]) -> None:
    boxes = [(10, 5, 90, 80), (60, 20, 140, 96), (0, 0, 160, 96), (70, 30, 100, 60)]
    for description in (LIP, DatasetDescription(name="all", class_names=("a", "b", "c"), has_background=False)):
        parser = tiny_parser(description)
        order = [2, 0, 3, 1]
        first = parser.predict(picture, person_boxes=boxes, return_people=True, alpha_of=[1, 2])
        second = parser.predict(
            picture, person_boxes=[boxes[i] for i in order], return_people=True, alpha_of=[1, 2], batch_size=3
        )
        assert first.people is not None
        assert second.people is not None
        assert len(np.unique(first.people)) > 2
        np.testing.assert_array_equal(first.classes, second.classes)
        np.testing.assert_array_equal(first.people, np.array([0, *(i + 1 for i in order)])[second.people])
        np.testing.assert_array_equal(first.alpha, second.alpha)


def test_without_boxes_there_is_no_person_map_and_without_people_an_empty_one(picture: NDArray[np.uint8]) -> None:
    parser = tiny_parser()
    assert parser.predict(picture, return_people=True).people is None
    nobody = parser.predict(picture, person_boxes=[], return_people=True, alpha_of=[3])
    assert nobody.people is not None
    assert nobody.alpha is not None
    assert nobody.people.shape == nobody.alpha.shape == (96, 160)
    assert not nobody.people.any()
    assert not nobody.alpha.any()
    assert not nobody.classes.any()


def test_more_than_255_people_are_counted(picture: NDArray[np.uint8]) -> None:
    boxes = [(x, y, x + 9, y + 6) for x in range(0, 150, 10) for y in range(0, 90, 5)]
    assert len(boxes) > 255
    everything = DatasetDescription(name="all", class_names=("a", "b"), has_background=False)
    people = tiny_parser(everything).predict(picture, mirror=False, person_boxes=boxes, return_people=True).people
    assert people is not None
    assert people.dtype == np.uint16
    assert people.max() > 255


def test_alpha_of_a_picture_follows_its_classes(picture: NDArray[np.uint8]) -> None:
    parser = tiny_parser()
    result = parser.predict(picture, alpha_of=LIP.foreground)
    assert result.alpha is not None
    np.testing.assert_array_equal(result.alpha >= 128, result.classes != 0)
    assert ((result.alpha > 0) & (result.alpha < 255)).any()
