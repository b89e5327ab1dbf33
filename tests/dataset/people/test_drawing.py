"""Drawn people: the same for the same seed, all classes, left and right as posed, labels on what they name."""

import os
import subprocess
import sys
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from dataset.descriptions import BUILT_IN
from dataset.people import draw_person
from dataset.people.figure import Figure, sample_figure

ROOT = Path(__file__).resolve().parents[3]
LIP = BUILT_IN["lip"]
COUNT = 80
SIZE = (96, 64)
Drawn = list[tuple[Figure, np.ndarray, np.ndarray]]


@pytest.fixture(scope="module")
def people() -> Drawn:
    return [(sample_figure(np.random.default_rng(seed)), *draw_person(seed, SIZE)) for seed in range(COUNT)]


@pytest.mark.parametrize(
    "size", [(192, 128), (75, 101), (300, 225), (33, 32), (32, 200), (32, 32), (32, 150), (150, 32)]
)
def test_picture_and_label_have_the_size_asked_for_and_show_somebody(size: tuple[int, int]) -> None:
    for seed in range(10 if max(size) <= 200 else 1):
        image, label = draw_person(seed, size)
        assert (image.shape, label.shape) == ((*size, 3), size)
        assert image.dtype == label.dtype == np.uint8
        assert label.any()


def test_another_seed_is_another_person(people: Drawn) -> None:
    assert len({image.tobytes() for _, image, _ in people}) == COUNT
    assert len({label.tobytes() for _, _, label in people}) == COUNT


def test_a_generator_draws_what_its_seed_draws() -> None:
    for one, other in zip(draw_person(7, SIZE), draw_person(np.random.default_rng(7), SIZE), strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("hash_seed", ["1", "2"])
def test_another_process_draws_the_same_bytes(people: Drawn, hash_seed: str) -> None:
    code = (
        "import zlib; from dataset.people import draw_person\n"
        f"for seed in range(25): print(*(zlib.crc32(part) for part in draw_person(seed, {SIZE})))"
    )
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
    here = [f"{zlib.crc32(image.tobytes())} {zlib.crc32(label.tobytes())}" for _, image, label in people[:25]]
    assert done.stdout.splitlines() == here


def test_every_class_is_frequent_and_nothing_else_occurs(people: Drawn) -> None:
    present = np.zeros(LIP.num_classes)
    for _, _, label in people:
        assert label.max() < LIP.num_classes
        present += np.bincount(label.ravel(), minlength=LIP.num_classes) > 0
    rare = {LIP.class_names[k]: int(present[k]) for k in np.flatnonzero(present < 0.12 * COUNT)}
    assert not rare
    assert present[0] == COUNT


def test_only_what_a_figure_wears_is_labelled(people: Drawn) -> None:
    for figure, _, label in people:
        assert {LIP.class_names[k] for k in np.unique(label)} <= {"Background", *figure.fabrics}


def test_people_fill_a_fair_part_of_the_picture(people: Drawn) -> None:
    person_share = np.array([(label > 0).mean() for _, _, label in people])
    assert 0.2 < person_share.mean() < 0.5
    assert person_share.min() > 0.02


def _facing(figure: Figure) -> str:
    """How a body is seen: front and back are within 45 degrees of square to the camera."""
    return "front" if np.cos(figure.yaw) > 0.7 else "back" if np.cos(figure.yaw) < -0.7 else "side"


def _sides_seen(people: Drawn, facing: str) -> list[bool]:
    """For every pair that is to be seen: does the person's left lie on the image's right?"""
    seen = []
    for figure, _, label in people:
        for left, right in LIP.flip_pairs:
            left_x, right_x = (np.nonzero(label == part)[1] for part in (left, right))
            if _facing(figure) == facing and min(len(left_x), len(right_x)) >= 8:
                seen.append(bool(left_x.mean() > right_x.mean()))
    return seen


def test_left_is_on_the_images_right_from_the_front_and_on_its_left_from_behind(people: Drawn) -> None:
    front, back = _sides_seen(people, "front"), _sides_seen(people, "back")
    assert len(front) > 40
    assert len(back) > 15
    assert np.mean(front) > 0.93
    assert np.mean(back) < 0.07


def test_mirrored_picture_with_swapped_labels_keeps_left_and_right(people: Drawn) -> None:
    swap = np.arange(LIP.num_classes)
    for left, right in LIP.flip_pairs:
        swap[left], swap[right] = right, left
    mirrored = [(figure, image[:, ::-1], swap[label[:, ::-1]]) for figure, image, label in people]
    assert np.mean(_sides_seen(mirrored, "front")) > 0.93
    assert np.mean(_sides_seen(mirrored, "back")) < 0.07


def test_faces_show_from_the_front_only(people: Drawn) -> None:
    face = LIP.class_names.index("Face")
    share = {
        facing: np.mean([(label == face).mean() for figure, _, label in people if _facing(figure) == facing])
        for facing in ("front", "back")
    }
    assert share["front"] > 4 * share["back"]


def test_body_parts_follow_from_head_to_foot(people: Drawn) -> None:
    """Where a person stands, hair is above the face, the face above the shoes."""
    hair, face, shoe = (LIP.class_names.index(name) for name in ("Hair", "Face", "Left-shoe"))
    ordered = []
    for _, _, label in people:
        rows = [np.nonzero(label == part)[0] for part in (hair, face, shoe)]
        if all(len(part) >= 8 for part in rows):
            ordered.append(rows[0].min() < rows[1].mean() < rows[2].mean())
    assert len(ordered) > 30
    assert np.mean(ordered) > 0.95


def test_limbs_look_different_from_what_is_around_them(people: Drawn) -> None:
    """Labels lie on what was drawn: colours within a class vary less than between a class and its rim."""
    closer = []
    for _, image, label in people:
        for part in np.unique(label[label > 0]):
            mask = (label == part).astype(np.uint8)
            core = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
            rim = (cv2.dilate(mask, np.ones((7, 7), np.uint8)) > 0) & (mask == 0)
            if core.sum() >= 30:
                median = np.median(image[core], axis=0)
                inner, outer = (np.abs(image[area] - median).mean() for area in (core, rim))
                closer.append(inner < outer)
    assert np.mean(closer) > 0.85


def test_pictures_have_noise_of_various_strength(people: Drawn) -> None:
    """As photographs have: between neighbouring pixels of the background, more in one picture than in another."""
    noise = []
    for _, image, label in people:
        far = cv2.dilate((label > 0).astype(np.uint8), np.ones((7, 7), np.uint8)) == 0
        gray = image.mean(axis=2)
        noise.append(np.median(np.abs(np.diff(gray, axis=1))[far[:, 1:]]))
    assert np.median(noise) > 0.5
    assert np.quantile(noise, 0.9) > 2 * np.quantile(noise, 0.1)
