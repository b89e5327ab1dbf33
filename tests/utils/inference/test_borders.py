"""Results at a picture's own size: compared with the logits interpolated everywhere, and with what ramps must give."""

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

import utils.inference.borders
from dataset.geometry import fit_matrix
from utils.inference.borders import picture_alpha, picture_classes, picture_margins

SIZES = ((97, 73), (211, 150), (64, 301), (33, 20), (500, 3), (1, 1), (1, 90), (2, 2))


def smooth_logits(classes: int = 20, size: tuple[int, int] = (97, 73), seed: int = 0) -> Tensor:
    """Return logits (K, h, w) with regions of some size, as a trained network has them."""
    generator = torch.Generator().manual_seed(seed)
    coarse = 3 * torch.randn(1, classes, 9, 7, generator=generator)
    return torch.nn.functional.interpolate(coarse, size, mode="bicubic", align_corners=True)[0]


def everywhere(logits: Tensor, size: tuple[int, int]) -> NDArray[np.float64]:
    """Return all logits (K, H, W) interpolated to a picture's size in double precision, by the formula."""
    nodes = logits.double().numpy()
    height, width = nodes.shape[1:]
    y, x = np.mgrid[: size[0], : size[1]]
    matrix = fit_matrix(size, (height, width))
    column = (matrix[0, 0] * x + matrix[0, 1] * y + matrix[0, 2]).clip(0, width - 1)
    row = (matrix[1, 0] * x + matrix[1, 1] * y + matrix[1, 2]).clip(0, height - 1)
    left, top = np.minimum(column.astype(int), width - 2), np.minimum(row.astype(int), height - 2)
    across, down = column - left, row - top
    upper = nodes[:, top, left] * (1 - across) + nodes[:, top, left + 1] * across
    lower = nodes[:, top + 1, left] * (1 - across) + nodes[:, top + 1, left + 1] * across
    return np.asarray(upper * (1 - down) + lower * down)


def assert_best(classes: NDArray[np.uint8], logits: NDArray[np.float64]) -> None:
    """Each pixel has a class whose logit is the largest, but for single precision."""
    own = np.take_along_axis(logits, classes[None].astype(np.int64), axis=0)[0]
    np.testing.assert_allclose(own, logits.max(axis=0), atol=1e-4)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("classes", [1, 2, 20])
def test_each_pixel_has_the_best_class_of_the_interpolated_logits(size: tuple[int, int], classes: int) -> None:
    logits = smooth_logits(classes)
    found = picture_classes(logits, size)
    assert (found.dtype, found.shape) == (torch.uint8, size)
    assert_best(found.numpy(), everywhere(logits, size))


@pytest.mark.parametrize("seed", range(3))
def test_noise_has_the_best_class_too_and_more_than_half_alpha_where_that_is_kept(seed: int) -> None:
    logits, size = torch.randn(7, 65, 81, generator=torch.Generator().manual_seed(seed)), (180, 133)
    found = picture_classes(logits, size).numpy()
    assert_best(found, everywhere(logits, size))
    kept = np.isin(found, [1, 2, 5])
    np.testing.assert_array_equal(picture_alpha(logits, size, [1, 2, 5]).numpy() >= 128, kept)


def test_a_class_that_wins_only_between_nodes_is_seen() -> None:
    """Class 2 is second at every node: to the left behind class 0, to the right behind class 1."""
    logits = torch.zeros(3, 65, 65)
    logits[0, :, :32], logits[1, :, 32:], logits[2] = 10, 10, 8
    found = picture_classes(logits, (650, 650))
    assert (found[300] == 2).any()
    assert_best(found.numpy(), everywhere(logits, (650, 650)))


def test_the_first_of_equal_classes_wins_as_in_argmax() -> None:
    logits = torch.zeros(4, 65, 65)
    logits[1:3, 20:] = 1.0
    assert set(picture_classes(logits, (200, 200)).unique().tolist()) == {0, 1}


@pytest.mark.parametrize("piece", [300, 1000])
def test_pieces_change_nothing(monkeypatch: pytest.MonkeyPatch, piece: int) -> None:
    logits = smooth_logits()
    classes, alpha = picture_classes(logits, (150, 131)), picture_alpha(logits, (150, 131), [1, 2])
    monkeypatch.setattr(utils.inference.borders, "CPU_PIECE", piece)
    assert torch.equal(picture_classes(logits, (150, 131)), classes)
    assert torch.equal(picture_alpha(logits, (150, 131), [1, 2]), alpha)


@pytest.fixture
def pieces(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many logits are interpolated at once, each time."""
    between, sizes = utils.inference.borders._between, []

    def watched(*arguments: Any) -> Tensor:
        values = between(*arguments)
        sizes.append(values.numel())
        return values

    monkeypatch.setattr(utils.inference.borders, "_between", watched)
    return sizes


def test_pieces_are_no_larger_with_more_classes(monkeypatch: pytest.MonkeyPatch, pieces: list[int]) -> None:
    monkeypatch.setattr(utils.inference.borders, "CPU_PIECE", 2**14)
    picture_classes(torch.randn(150, 65, 65), (400, 300))
    assert max(pieces) <= 2**14


def test_other_devices_get_the_same_by_interpolating_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which is what they do; here the CPU is made to."""
    logits, size, kept = smooth_logits(), (211, 150), [3, 4]
    classes, alpha = picture_classes(logits, size), picture_alpha(logits, size, kept)
    monkeypatch.setattr(utils.inference.borders, "_interpolates_everywhere", lambda device: True)
    assert torch.equal(picture_classes(logits, size), classes)
    difference = picture_alpha(logits, size, kept).int() - alpha.int()
    assert difference.abs().max() <= 1


def test_most_of_a_map_is_filled_without_interpolating(pieces: list[int]) -> None:
    logits = torch.zeros(2, 97, 97)
    logits[1, 30:60, 40:50] = 1.0
    picture_classes(logits, (970, 970))
    assert 0 < sum(pieces) < 2 * 970 * 970 * 0.03


def straight_border(slope: float) -> Tensor:
    """Return logits of 97 x 97: class 1 beats class 0 to the right of column 40.5, by `slope` a pixel."""
    columns = torch.arange(97.0).expand(97, 97)
    return torch.stack([torch.zeros(97, 97), slope * (columns - 40.5)])


def test_alpha_is_the_softmax_across_a_border() -> None:
    size = (970, 970)
    logits = straight_border(6.0)
    alpha = picture_alpha(logits, size, [1]).numpy().astype(int)
    matrix = fit_matrix(size, (97, 97))
    column = matrix[0, 0] * np.arange(970) + matrix[0, 2]
    softmax = 255 / (1 + np.exp(-6.0 * (column - 40.5)))
    near = np.abs(column - 40.5) < 0.5
    assert np.abs(alpha - softmax)[:, near].max() <= 1
    assert (np.diff(alpha[500]) >= 0).all()
    assert len(np.unique(alpha[500])) >= 20  # no staircase


def test_alpha_is_all_or_nothing_away_from_borders_however_unsure_the_network() -> None:
    alpha = picture_alpha(straight_border(0.05), (970, 970), [1]).numpy().astype(int)
    assert (alpha[:, :370] == 0).all()
    assert (alpha[:, 440:] == 255).all()
    assert np.abs(np.diff(alpha[500])).max() < 10  # and gets there without a step


def test_alpha_belongs_to_the_classes_that_are_kept() -> None:
    logits = smooth_logits(5, (257, 193))
    sure = picture_classes(logits, (300, 300)).numpy()
    some, rest = (picture_alpha(logits, (300, 300), kept).numpy().astype(int) for kept in ([0, 3], [1, 2, 4]))
    assert np.abs(some + rest - 255).max() <= 1
    np.testing.assert_array_equal(np.isin(sure, [0, 3]), some >= 128)
    assert np.isin(some, [0, 255]).mean() > 0.2
    assert (picture_alpha(logits, (300, 300), range(5)) == 255).all()
    assert (picture_alpha(logits, (300, 300), []) == 0).all()


@pytest.mark.parametrize("background", [0, 255])
def test_margins_are_over_the_background_or_else_the_second_best(background: int) -> None:
    logits, size = smooth_logits(6), (140, 120)
    down, across = slice(30, 90), slice(7, 50)
    found = picture_margins(logits, size, down, across, background).numpy()
    values = everywhere(logits, size)[:, down, across]
    rival = values[0] if background == 0 else np.sort(values, axis=0)[-2]
    np.testing.assert_allclose(found, values.max(axis=0) - rival, atol=1e-4)
