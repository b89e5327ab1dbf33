"""Augmentation: what each step does, how often, and that nothing but the generator decides."""

import random
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from numpy.typing import NDArray
from PIL import Image, ImageEnhance, ImageFilter

from dataset import augmentation
from dataset.augmentation import augment, change_colours, random_angle, random_scale_factor
from dataset.descriptions import DatasetDescription
from dataset.geometry import affine_matrix, crop_box, warp_image, warp_label

TABLE = DatasetDescription(name="six", class_names=tuple("abcdef"), flip_pairs=((1, 2), (4, 3))).mirror_table()


def photograph(
    height: int = 90, width: int = 60, seed: int = 0
) -> tuple[NDArray[np.uint8], NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a photograph of colour patches, its labels 0 .. 5, one a patch, and the colours (6, 3)."""
    rng = np.random.default_rng(seed)
    label = np.kron(rng.integers(0, 6, (height // 10, width // 10)), np.ones((10, 10))).astype(np.uint8)
    colours = rng.integers(0, 256, (6, 3), np.uint8)
    return colours[label], label, colours


@pytest.fixture
def only(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Return a function that switches off every random step except the named ones, which always happen."""

    def switch(*steps: str) -> None:
        monkeypatch.setattr(augmentation, "COLOUR_PROBABILITY", float("colour" in steps))
        monkeypatch.setattr(augmentation, "ROTATION_PROBABILITY", float("rotation" in steps))
        monkeypatch.setattr(augmentation, "MIRROR_PROBABILITY", float("mirror" in steps))
        if "scale" not in steps:
            monkeypatch.setattr(augmentation, "SCALE_DEVIATION", 0.0)

    return switch


def test_the_mirror_table_exchanges_left_and_right() -> None:
    assert TABLE[:6].tolist() == [0, 2, 1, 4, 3, 5]
    assert TABLE[6:].tolist() == list(range(6, 256))


def test_the_scale_is_normal_and_clipped() -> None:
    rng = np.random.default_rng(0)
    factors = np.array([random_scale_factor(rng) for _ in range(20_000)])
    # One standard deviation is 0.25, so 15.87 % lie at each limit.
    assert factors.min() == 0.75
    assert factors.max() == 1.25
    assert np.mean(factors == 0.75) == pytest.approx(0.1587, abs=0.01)
    assert np.mean(factors == 1.25) == pytest.approx(0.1587, abs=0.01)
    assert np.mean(factors < 1.125) == pytest.approx(0.6915, abs=0.012)


def test_the_rotation_is_normal_and_clipped() -> None:
    rng = np.random.default_rng(0)
    degrees = np.array([random_angle(rng) for _ in range(20_000)])
    assert np.mean(degrees == 0) == pytest.approx(0.4, abs=0.012)
    # Sixty degrees are two standard deviations: 2.28 % of the rotated lie at each limit.
    assert np.mean(degrees == 60) == pytest.approx(0.6 * 0.0228, abs=0.004)
    assert np.mean(degrees == -60) == pytest.approx(0.6 * 0.0228, abs=0.004)
    assert np.mean(degrees > 30) == pytest.approx(0.6 * 0.1587, abs=0.008)
    assert np.abs(degrees).max() == 60


def test_half_the_photographs_keep_their_colours_and_a_sixth_each_is_blurred_jittered_gray() -> None:
    image = photograph(20, 20)[0]
    blurred = np.asarray(Image.fromarray(image[..., ::-1]).filter(ImageFilter.GaussianBlur(2)))[..., ::-1]
    gray = np.asarray(Image.fromarray(image[..., ::-1]).convert("L"))
    rng = np.random.default_rng(0)
    seen = dict.fromkeys(("same", "blurred", "gray", "jittered"), 0)
    for _ in range(3000):
        result = change_colours(image, rng)
        if (result == image).all():
            seen["same"] += 1
        elif (result == blurred).all():
            seen["blurred"] += 1
        elif (result == gray[..., None]).all():
            seen["gray"] += 1
        else:
            seen["jittered"] += 1
    assert seen["same"] / 3000 == pytest.approx(1 / 2, abs=0.035)
    for kind in ("blurred", "gray", "jittered"):
        assert seen[kind] / 3000 == pytest.approx(1 / 6, abs=0.03)


def test_jitter_draws_its_amounts_from_the_published_ranges(monkeypatch: pytest.MonkeyPatch) -> None:
    reaches = {"brightness": 0.1026, "contrast": 0.0935, "saturation": 0.8386, "hue": 0.1592}
    drawn: dict[str, list[float]] = {name: [] for name in reaches}
    order: list[str] = []

    def note(picture: Image.Image, amount: float, *, name: str) -> Image.Image:
        drawn[name].append(amount)
        order.append(name)
        return picture

    for enhancer, name in (("Brightness", "brightness"), ("Contrast", "contrast"), ("Color", "saturation")):
        enhance = partial(note, name=name)
        monkeypatch.setattr(
            ImageEnhance, enhancer, lambda picture, enhance=enhance: SimpleNamespace(enhance=partial(enhance, picture))
        )
    monkeypatch.setattr(augmentation, "_shift_hue", partial(note, name="hue"))
    rng = np.random.default_rng(0)
    for _ in range(2000):
        augmentation._jitter(Image.new("RGB", (1, 1)), rng)
    for name, reach in reaches.items():
        middle = 0 if name == "hue" else 1
        distance = np.abs(np.array(drawn[name]) - middle)
        assert 0.98 * reach < distance.max() <= reach
        assert np.mean(drawn[name]) == pytest.approx(middle, abs=0.06 * reach)
    orders = {tuple(order[i : i + 4]) for i in range(0, len(order), 4)}
    assert len(orders) == 24
    assert {frozenset(names) for names in orders} == {frozenset(drawn)}


@pytest.mark.parametrize("seed", range(20))
def test_jitter_is_torchvisions_to_the_bit(seed: int) -> None:
    rng = np.random.default_rng(seed)
    amounts = [rng.uniform(1 - reach, 1 + reach) for reach in (0.1026, 0.0935, 0.8386)] + [rng.uniform(-0.1592, 0.1592)]
    picture = expected = Image.fromarray(photograph(40, 30)[0])
    for index in rng.permutation(4):
        name = ("brightness", "contrast", "saturation", "hue")[index]
        expected = getattr(torchvision.transforms.functional, f"adjust_{name}")(expected, amounts[index])
    jittered = augmentation._jitter(picture, np.random.default_rng(seed))
    np.testing.assert_array_equal(np.asarray(jittered), np.asarray(expected))


def test_without_randomness_the_crop_is_the_whole_photograph(only: Callable[..., None]) -> None:
    only()
    image, label, _ = photograph()
    crop, crop_label = augment(image, label, (50, 40), np.random.default_rng(0), mirror_table=TABLE)
    matrix = affine_matrix(crop_box((90, 60), (50, 40)), (50, 40))
    assert (crop == warp_image(image, matrix, (50, 40))).all()
    assert (crop_label == warp_label(label, matrix, (50, 40))).all()


def test_a_mirrored_crop_is_the_crop_of_the_mirror_image(only: Callable[..., None]) -> None:
    only("mirror")
    image, label, _ = photograph()
    label[40:50, 20:30] = 255
    crop, crop_label = augment(image, label, (50, 40), np.random.default_rng(0), mirror_table=TABLE)
    only()
    expected, expected_label = augment(
        np.ascontiguousarray(image[:, ::-1]),
        TABLE[label][:, ::-1],
        (50, 40),
        np.random.default_rng(0),
        mirror_table=TABLE,
    )
    assert (crop == expected).all()
    assert (crop_label == expected_label).all()
    assert {1, 2, 3, 4, 255} <= set(np.unique(crop_label))


def test_half_the_crops_are_mirrored(only: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    only()
    monkeypatch.setattr(augmentation, "MIRROR_PROBABILITY", 0.5)
    image, label, _ = photograph(20, 20)
    label[:, :10], label[:, 10:] = 0, 5
    rng = np.random.default_rng(0)
    left = [augment(image, label, (20, 20), rng, mirror_table=TABLE)[1][10, 4] for _ in range(1000)]
    assert np.mean(np.array(left) == 5) == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("seed", range(6))
def test_image_and_labels_stay_aligned(only: Callable[..., None], seed: int) -> None:
    only("scale", "rotation", "mirror")
    image, label, colours = photograph(120, 120, seed)
    crop, crop_label = augment(
        image, label, (97, 97), np.random.default_rng(seed), mirror_table=np.arange(256, dtype=np.uint8)
    )
    inside = crop_label != 255
    assert inside.mean() > 0.4
    distance = np.abs(crop[inside].astype(int) - colours[crop_label[inside]]).max(axis=-1)
    # Linear and nearest sampling differ at the patches' borders only.
    assert np.mean(distance == 0) > 0.6
    assert np.median(distance) == 0


def test_outside_the_photograph_is_black_and_ignored(only: Callable[..., None]) -> None:
    only("rotation")
    image = np.full((60, 60, 3), 200, np.uint8)
    label = np.full((60, 60), 5, np.uint8)
    corners = np.array([[0, 0], [0, -1], [-1, 0], [-1, -1]])
    turned = 0
    for seed in range(20):
        rng = np.random.default_rng(seed)
        crop, crop_label = augment(image, label, (61, 61), rng, mirror_table=TABLE, random_scale=False)
        assert set(np.unique(crop_label)) <= {5, 255}
        assert (crop[crop_label == 255] < 200).all()
        turned += int((crop_label[tuple(corners.T)] == 255).all() and (crop[tuple(corners.T)] == 0).all())
    assert turned > 10


def test_the_scale_widens_and_narrows_the_view(only: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    only()
    image = np.full((60, 60, 3), 200, np.uint8)
    label = np.full((60, 60), 5, np.uint8)
    shown = {}
    for factor in (0.75, 1.25):
        monkeypatch.setattr(augmentation, "random_scale_factor", lambda rng, factor=factor: factor)
        shown[factor] = augment(image, label, (100, 100), np.random.default_rng(0), mirror_table=TABLE)[1] == 5
    assert shown[0.75].all()
    assert shown[1.25].mean() == pytest.approx(1 / 1.25**2, abs=0.03)


def test_scale_and_mirror_have_switches_and_colour_and_rotation_do_not(only: Callable[..., None]) -> None:
    image, label, _ = photograph()
    options: dict[str, Any] = {"mirror_table": TABLE, "random_scale": False, "random_mirror": False}
    only("scale", "mirror")
    plain = augment(image, label, (50, 40), np.random.default_rng(3), **options)
    matrix = affine_matrix(crop_box((90, 60), (50, 40)), (50, 40))
    assert (plain[0] == warp_image(image, matrix, (50, 40))).all()
    only("colour")
    assert not (augment(image, label, (50, 40), np.random.default_rng(3), **options)[0] == plain[0]).all()
    only("rotation")
    assert not (augment(image, label, (50, 40), np.random.default_rng(3), **options)[1] == plain[1]).all()


def test_colour_comes_before_the_warp(only: Callable[..., None]) -> None:
    only("colour", "rotation")
    image, label, _ = photograph()
    rng = np.random.default_rng(7)
    crop, _ = augment(image, label, (50, 40), np.random.default_rng(7), mirror_table=TABLE, random_scale=False)
    coloured = change_colours(image, rng)
    assert not (coloured == image).all()
    matrix = affine_matrix(crop_box((90, 60), (50, 40)), (50, 40), random_angle(rng))
    assert (crop == warp_image(coloured, matrix, (50, 40))).all()


def global_states() -> list[str]:
    return [str(random.getstate()), str(torch.get_rng_state().tolist()), str(np.random.get_state())]


def test_nothing_but_the_generator_decides() -> None:
    image, label, _ = photograph()
    before = image.copy(), label.copy()
    first = [augment(image, label, (50, 40), np.random.default_rng(s), mirror_table=TABLE) for s in range(30)]
    for draw in (random.random, np.random.random, lambda: torch.rand(1)):
        draw()
    states = global_states()
    again = [augment(image, label, (50, 40), np.random.default_rng(s), mirror_table=TABLE) for s in range(30)]
    assert global_states() == states
    for one, other in zip(first, again, strict=True):
        assert (one[0] == other[0]).all()
        assert (one[1] == other[1]).all()
    assert len({crop.tobytes() for crop, _ in first}) == 30
    assert (image == before[0]).all()
    assert (label == before[1]).all()
