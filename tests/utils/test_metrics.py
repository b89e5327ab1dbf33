"""The confusion matrix: exact counts, figures of merit, and what it refuses."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from utils.metrics import ConfusionMatrix

K = 5
Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]


def counted(*pairs: tuple[Any, Any], num_classes: int = K) -> ConfusionMatrix:
    matrix = ConfusionMatrix(num_classes)
    for pred, label in pairs:
        matrix.update(pred, label)
    return matrix


@st.composite
def pairs(draw: st.DrawFn) -> list[Pair]:
    """Draw predictions and labels of several images, 255 among the labels."""
    drawn = []
    for _ in range(draw(st.integers(0, 4))):
        shape = draw(hnp.array_shapes(min_dims=1, max_dims=3, max_side=6))
        pred = draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, K - 1)))
        label = draw(hnp.arrays(np.uint8, shape, elements=st.sampled_from([0, 1, 2, 3, 4, 255])))
        drawn.append((pred, label))
    return drawn


@settings(deadline=None)
@given(pairs())
def test_counts_and_figures_equal_the_plain_ones(images: list[Pair]) -> None:
    expected = [[0] * K for _ in range(K)]
    for pred, label in images:
        for p, y in zip(pred.ravel(), label.ravel(), strict=True):
            if y != 255:
                expected[y][p] += 1
    matrix = counted(*images)
    assert matrix.matrix.tolist() == expected
    assert matrix.matrix.dtype == np.int64
    total = sum(map(sum, expected))
    hits = [expected[c][c] for c in range(K)]
    labelled = [sum(expected[c]) for c in range(K)]
    predicted = [sum(row[c] for row in expected) for c in range(K)]
    iou = [100 * hits[c] / max(1, labelled[c] + predicted[c] - hits[c]) for c in range(K)]
    assert matrix.iou == pytest.approx(iou)
    assert matrix.mean_iou == pytest.approx(sum(iou) / K)
    assert matrix.pixel_accuracy == pytest.approx(100 * sum(hits) / max(1, total))
    accuracy = [100 * hits[c] / max(1, labelled[c]) for c in range(K)]
    assert matrix.mean_accuracy == pytest.approx(sum(accuracy) / K)
    present = [c for c in range(K) if labelled[c] or predicted[c]]
    assert np.flatnonzero(matrix.present).tolist() == present
    assert matrix.mean_iou_present == pytest.approx(sum(iou) / max(1, len(present)))
    assert matrix.mean_accuracy_present == pytest.approx(sum(accuracy) / max(1, sum(n > 0 for n in labelled)))


@settings(deadline=None)
@given(pairs(), pairs())
def test_merging_equals_one_matrix_over_the_union(first: list[Pair], second: list[Pair]) -> None:
    merged, other = counted(*first), counted(*second)
    before = other.matrix.copy()
    merged.merge(other)
    assert np.array_equal(merged.matrix, counted(*first, *second).matrix)
    assert np.array_equal(other.matrix, before)


NUMPY = [np.uint8, np.int8, np.uint16, np.int16, np.int32, np.uint32, np.int64, np.uint64]
TORCH = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", NUMPY)
def test_every_integer_array_counts_alike(dtype: type[np.integer]) -> None:
    pred, label = np.array([0, 1, 2]), np.array([0, 2, 2])
    assert counted((pred.astype(dtype), label.astype(dtype))).matrix[2].tolist() == [0, 1, 1, 0, 0]


@pytest.mark.parametrize("dtype", TORCH, ids=str)
def test_tensors_and_arrays_mix(dtype: torch.dtype) -> None:
    pred, label = torch.tensor([0, 1, 2], dtype=dtype), np.array([0, 2, 255])
    expected = counted((pred.numpy(), label)).matrix
    assert np.array_equal(counted((pred, label)).matrix, expected)
    assert np.array_equal(counted((pred, torch.from_numpy(label))).matrix, expected)
    assert np.array_equal(counted((pred.numpy(), torch.from_numpy(label))).matrix, expected)


@pytest.mark.filterwarnings("error")
def test_views_and_read_only_arrays_are_taken_as_they_are() -> None:
    pred = np.arange(4, dtype=np.uint8).reshape(2, 2)
    mirrored, frozen = pred[:, ::-1], pred.copy()
    frozen.flags.writeable = False
    assert counted((mirrored, mirrored)).matrix.trace() == 4
    assert counted((frozen, frozen)).matrix.trace() == 4
    assert counted((torch.from_numpy(pred).T, pred.T)).matrix.trace() == 4


@pytest.mark.parametrize(
    ("pred", "label", "message"),
    [
        ([5, 7, 0], [0, 0, 0], r"prediction holds class 5 \(2 pixels out of range\), but there are 5 classes, 0\.\.4"),
        ([-1, 0, 0], [0, 0, 0], r"prediction holds class -1 \(1 pixels out of range\)"),
        ([0, 0, 0], [0, 9, 255], r"label holds class 9 \(1 pixels out of range\)"),
        ([0, 0, 0], [0, -1, 0], r"label holds class -1 \(1 pixels out of range\)"),
        ([255, 0, 0], [255, 0, 0], r"prediction holds class 255"),
    ],
)
def test_classes_out_of_range_are_refused_and_not_counted(pred: list[int], label: list[int], message: str) -> None:
    matrix = counted(([1], [1]))
    with pytest.raises(ValueError, match=message):
        matrix.update(np.array(pred), np.array(label))
    assert matrix.matrix.sum() == 1


@pytest.mark.parametrize("kind", [np.float32, np.float64, np.bool_, np.complex64])
def test_values_that_are_no_integers_are_refused(kind: type[np.generic]) -> None:
    zeros = np.zeros(3, np.uint8)
    with pytest.raises(TypeError, match="prediction must hold integer classes, not torch"):
        counted((zeros.astype(kind), zeros))
    with pytest.raises(TypeError, match="label must hold integer classes, not torch"):
        counted((zeros, torch.from_numpy(zeros.astype(kind))))


@pytest.mark.parametrize("shapes", [((2, 3), (3, 2)), ((2, 3), (6,)), ((1, 4), (4,)), ((1,), (4,))])
def test_shapes_that_differ_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"prediction \(.*\) and label \(.*\) differ in shape"):
        counted((np.zeros(shapes[0], np.uint8), np.zeros(shapes[1], np.uint8)))


def test_matrices_of_other_classes_do_not_merge() -> None:
    with pytest.raises(ValueError, match="cannot merge 7 classes into 5"):
        ConfusionMatrix(5).merge(ConfusionMatrix(7))


def test_counts_beyond_32_bits_stay_exact() -> None:
    """LIP val alone has 2e9 pixels; 2 ** 53 + 1 would be lost in a float."""
    matrix = counted(([0, 1], [0, 1]))
    big = ConfusionMatrix(K)
    big.matrix[:] = 2**53
    for _ in range(3):
        matrix.merge(big)
    assert matrix.matrix[0, 0] == 3 * 2**53 + 1
    assert matrix.matrix[0, 1] == 3 * 2**53
    matrix.update(np.array([0]), np.array([0]))
    assert matrix.matrix[0, 0] == 3 * 2**53 + 2
    assert matrix.pixel_accuracy == pytest.approx(20.0)


def test_nothing_counted_is_zero_and_not_nan() -> None:
    for matrix in (ConfusionMatrix(K), counted((np.zeros(3, np.uint8), np.full(3, 255, np.uint8)))):
        assert matrix.iou.tolist() == [0.0] * K
        assert matrix.mean_iou == matrix.pixel_accuracy == matrix.mean_accuracy == 0.0


def test_absent_classes_count_zero_in_the_published_means_and_not_in_those_of_the_classes_present() -> None:
    matrix = counted((np.zeros(4, np.uint8), np.zeros(4, np.uint8)))
    assert matrix.mean_iou == matrix.mean_accuracy == 20.0
    assert matrix.mean_iou_present == matrix.mean_accuracy_present == matrix.pixel_accuracy == 100.0
    assert matrix.present.tolist() == [True, False, False, False, False]


def test_a_class_that_is_only_predicted_is_present_but_where_the_label_is_ignored() -> None:
    matrix = counted((np.array([0, 3, 4]), np.array([0, 0, 255])))
    assert matrix.present.tolist() == [True, False, False, True, False]
    assert matrix.mean_iou_present == 25.0  # of classes 0 and 3
    assert matrix.mean_accuracy_present == 50.0  # class 3 has no pixel that could be found


def test_labels_without_a_prediction_count_as_not_found_and_as_no_other_class() -> None:
    matrix = counted((np.array([0, 1, 1, 2]), np.array([0, 1, 1, 2])))
    matrix.miss(np.array([[1, 1], [255, 3]], np.uint8))
    assert matrix.iou.tolist() == [100.0, 50.0, 100.0, 0.0, 0.0]
    assert matrix.present.tolist() == [True, True, True, True, False]
    assert matrix.pixel_accuracy == pytest.approx(100 * 4 / 7)
    assert matrix.mean_accuracy_present == 62.5
    merged = ConfusionMatrix(K)
    merged.merge(matrix)
    assert merged.missed.tolist() == [0, 2, 0, 1, 0]
    with pytest.raises(ValueError, match="label holds class 7"):
        matrix.miss(np.array([7], np.uint8))


def test_many_classes() -> None:
    classes = np.arange(150)
    assert np.array_equal(counted((classes, classes), num_classes=150).matrix, np.eye(150))


def test_empty_images_count_nothing() -> None:
    assert counted((np.zeros((0, 3), np.uint8), np.zeros((0, 3), np.uint8))).matrix.sum() == 0
