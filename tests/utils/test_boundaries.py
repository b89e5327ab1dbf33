"""Boundary IoU against its definition, and in cases that can be computed by hand."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from utils.boundaries import BoundaryIoU, boundary_regions, boundary_width

K = 4
Map = NDArray[np.uint8]


def region_by_definition(mask: NDArray[np.bool_], distance: int) -> NDArray[np.bool_]:
    """A mask without its erosion by a square, pixel by pixel."""
    padded = np.pad(mask, distance)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * distance + 1, 2 * distance + 1))
    return mask & ~windows.all(axis=(2, 3))


def by_definition(pairs: list[tuple[Map, Map]]) -> list[float]:
    both, either = np.zeros(K), np.zeros(K)
    for pred, label in pairs:
        distance = max(1, round(0.02 * np.hypot(*label.shape)))
        pred = np.where(label == 255, 255, pred)
        for c in range(K):
            label_region = region_by_definition(label == c, distance)
            pred_region = region_by_definition(pred == c, distance)
            both[c] += (label_region & pred_region).sum()
            either[c] += (label_region | pred_region).sum()
    return (100 * both / np.maximum(either, 1)).tolist()


def scored(*pairs: tuple[Map, Map]) -> BoundaryIoU:
    counted = BoundaryIoU(K)
    for pred, label in pairs:
        counted.update(pred, label)
    return counted


def square(top: int, left: int, side: int = 40, size: tuple[int, int] = (120, 160)) -> Map:
    classes = np.zeros(size, np.uint8)
    classes[top : top + side, left : left + side] = 1
    return classes


@st.composite
def pairs(draw: st.DrawFn) -> list[tuple[Map, Map]]:
    drawn = []
    for _ in range(draw(st.integers(1, 3))):
        cells = (draw(st.integers(1, 6)), draw(st.integers(1, 6)))
        scale = draw(st.sampled_from([1, 3, 25]))  # of 25: regions 1, 2 and 4 pixels deep
        label, pred = (
            np.kron(draw(hnp.arrays(np.uint8, cells, elements=st.sampled_from(values))), np.ones((scale, scale)))
            for values in ([0, 1, 2, 3, 255], [0, 1, 2, 3, 255])
        )
        drawn.append((np.roll(pred, draw(st.integers(0, 5)), 1).astype(np.uint8), label.astype(np.uint8)))
    return drawn


@settings(deadline=None, max_examples=60)
@given(pairs())
def test_it_is_the_iou_of_what_an_erosion_takes_from_each_class_summed_over_the_set(
    images: list[tuple[Map, Map]],
) -> None:
    counted, expected = scored(*images), by_definition(images)
    assert counted.iou.tolist() == pytest.approx(expected)
    assert counted.mean_iou == pytest.approx(sum(expected) / K)


@settings(deadline=None, max_examples=60)
@given(hnp.arrays(np.uint8, st.tuples(st.integers(1, 12), st.integers(1, 12)), elements=st.integers(0, 2)))
def test_regions_of_every_depth_are_those_of_the_definition(classes: Map) -> None:
    for distance in (1, 2, 3, 20):
        expected = sum(region_by_definition(classes == c, distance) for c in range(3))
        assert np.array_equal(boundary_regions(classes, distance), np.asarray(expected, bool))


def test_a_square_that_is_shifted_by_one_pixel() -> None:
    """120 x 160: the diagonal is 200, the regions 4 pixels deep. A frame of 40 x 40 with a hole of 32 x 32."""
    counted = scored((square(30, 51), square(30, 50)))
    frame = 40 * 40 - 32 * 32
    # Shifted by 1 the outer squares share 40 x 39 pixels, from which both holes go: together they are 32 x 33.
    both = 40 * 39 - 32 * 33
    assert counted.counts[:, 1].tolist() == [both, frame, frame]
    assert counted.iou[1] == pytest.approx(100 * both / (2 * frame - both))


def test_perfect_predictions_get_100_whatever_they_say_where_the_label_is_ignored() -> None:
    label = square(30, 50)
    label[40:60, 60:130] = 255
    pred = np.where(label == 255, np.random.default_rng(0).integers(0, K, label.shape), label).astype(np.uint8)
    counted = scored((pred, label))
    assert counted.iou.tolist() == [100.0, 100.0, 0.0, 0.0]
    assert (counted.mean_iou, counted.mean_iou_present) == (50.0, 100.0)


def test_an_error_far_from_the_border_costs_nothing_but_its_own_border() -> None:
    """A hole of one pixel in the middle of a large square: around it 9 x 9 pixels are a region of the prediction."""
    label, pred = square(10, 10, 100), square(10, 10, 100)
    pred[60, 60] = 0
    counted = scored((pred, label))
    assert counted.counts[2, 1] - counted.counts[1, 1] == 9 * 9 - 1


def test_depths_are_two_percent_of_the_diagonal_and_at_least_one_pixel() -> None:
    assert [boundary_width(size) for size in ((3, 4), (300, 400), (512, 341), (3000, 4000))] == [1, 10, 12, 100]


def test_parts_of_a_set_add_up() -> None:
    images = [(square(30, 51), square(30, 50)), (square(5, 5), square(8, 2))]
    merged = scored(images[0])
    merged.merge(scored(images[1]))
    assert merged.counts.tolist() == scored(*images).counts.tolist()
    assert BoundaryIoU(K).mean_iou == BoundaryIoU(K).mean_iou_present == 0.0
