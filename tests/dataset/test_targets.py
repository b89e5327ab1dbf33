"""Edge and distribution targets against plain loops, and what mirroring does to them."""

import itertools

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from dataset.targets import distribution_targets, edge_targets
from tests.golden.recorded import label_maps

K = 4
CLASSES = st.sampled_from([0, 1, 2, 3, 255])


@st.composite
def label_batches(draw: st.DrawFn) -> Tensor:
    """Draw label maps (N, H, W) from single pixels up, 255 among them; speckled, in blocks or in stripes."""
    n, h, w = draw(st.tuples(st.integers(1, 3), st.integers(1, 9), st.integers(1, 9)))
    block_h, block_w = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    coarse = draw(hnp.arrays(np.uint8, (n, -(-h // block_h), -(-w // block_w)), elements=CLASSES))
    labels = coarse.repeat(block_h, axis=1).repeat(block_w, axis=2)[:, :h, :w]
    return torch.from_numpy(np.ascontiguousarray(labels))


def plain_edges(label: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Compare and dilate one label map (H, W) pixel by pixel, in the words of the specification."""
    height, width = label.shape
    marks = np.zeros_like(label)

    def differ(y: int, x: int, v: int, u: int) -> bool:
        inside = 0 <= y < height and 0 <= v < height and 0 <= x < width and 0 <= u < width
        return inside and label[y, x] != label[v, u] and 255 not in (label[y, x], label[v, u])

    for y, x in np.ndindex(height, width):
        if differ(y, x, y - 1, x) or differ(y, x, y, x + 1) or differ(y, x, y + 1, x + 1):
            marks[y, x] = 1
        if differ(y, x + 1, y + 1, x):
            marks[y, x + 1] = 1
    edges = np.zeros_like(label)
    for y, x in np.ndindex(height, width):
        edges[y, x] = marks[max(0, y - 1) : y + 2, max(0, x - 1) : x + 2].max()
    return edges


def plain_rows(label: NDArray[np.uint8], num_classes: int, has_background: bool) -> NDArray[np.float64]:
    height, width = label.shape
    counts = np.zeros((num_classes, height))
    for y, x in np.ndindex(height, width):
        if label[y, x] != 255:
            counts[label[y, x], y] += 1
        elif has_background:
            counts[0, y] += 1
    if has_background:
        counts[0] = 0
    return counts / (counts.max(axis=1, keepdims=True) + 1e-5)


@settings(deadline=None)
@given(label_batches())
def test_edges_equal_the_plain_loop(labels: Tensor) -> None:
    edges = edge_targets(labels)
    assert edges.dtype == torch.uint8
    np.testing.assert_array_equal(edges, np.stack([plain_edges(label) for label in labels.numpy()]))


@settings(deadline=None)
@given(label_batches(), st.booleans())
def test_distributions_equal_the_plain_loop(labels: Tensor, has_background: bool) -> None:
    rows, cols = distribution_targets(labels, K, has_background=has_background)
    assert rows.dtype == cols.dtype == torch.float32
    for n, label in enumerate(labels.numpy()):
        np.testing.assert_allclose(rows[n], plain_rows(label, K, has_background), rtol=0, atol=1e-6)
        np.testing.assert_allclose(cols[n], plain_rows(label.T, K, has_background), rtol=0, atol=1e-6)


@settings(deadline=None)
@given(label_batches(), st.booleans())
def test_distributions_of_a_mirrored_map_are_the_mirrored_ones(labels: Tensor, has_background: bool) -> None:
    rows, cols = distribution_targets(labels, K, has_background=has_background)
    mirrored_rows, mirrored_cols = distribution_targets(labels.flip(2), K, has_background=has_background)
    assert torch.equal(mirrored_rows, rows)
    assert torch.equal(mirrored_cols, cols.flip(2))


@settings(deadline=None)
@given(label_batches())
def test_edges_of_a_mirrored_map_are_the_mirrored_ones_to_one_column(labels: Tensor) -> None:
    """They are not always equal: of two pixels side by side the published comparison marks the left one.

    The other three comparisons mirror into each other, so that each map's marks lie at most one column beside the
    other's, and so do the dilated edges, both ways.
    """
    mirrored = edge_targets(labels.flip(2)).flip(2)
    edges = edge_targets(labels)

    def widened(edges: Tensor) -> Tensor:
        return F.max_pool2d(edges.float(), (1, 3), stride=1, padding=(0, 1))

    assert (mirrored <= widened(edges)).all()
    assert (edges <= widened(mirrored)).all()


@settings(deadline=None)
@given(label_batches(), st.integers(2, 5), st.booleans())
def test_edges_of_mirrored_stripes_are_the_mirrored_ones(labels: Tensor, length: int, upright: bool) -> None:
    """Straight borders that cross the map, at least two pixels long, are marked on both sides."""
    stripes = labels[:, :1].expand(-1, length, -1) if upright else labels[:, :, :1].expand(-1, -1, length)
    assert torch.equal(edge_targets(stripes.flip(2)).flip(2), edge_targets(stripes))


def test_mirrored_edges_differ_at_a_corner() -> None:
    """The smallest picture of the published asymmetry; it must stay, being part of what was trained."""
    corner = torch.zeros(1, 5, 6, dtype=torch.uint8)
    corner[:, :2, :2] = 1
    difference = edge_targets(corner) != edge_targets(corner.flip(2)).flip(2)
    assert difference.nonzero()[:, 1:].tolist() == [[2, 3]]


@settings(deadline=None)
@given(label_batches())
def test_a_batch_equals_its_images_one_by_one(labels: Tensor) -> None:
    edges, (rows, cols) = edge_targets(labels), distribution_targets(labels, K)
    for n in range(len(labels)):
        one = labels[n : n + 1]
        assert torch.equal(edges[n], edge_targets(one)[0])
        assert torch.equal(rows[n], distribution_targets(one, K)[0][0])
        assert torch.equal(cols[n], distribution_targets(one, K)[1][0])


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64], ids=str)
def test_every_integer_type_gives_the_same(dtype: torch.dtype) -> None:
    labels = label_maps(3, 2, 33, 47)
    assert torch.equal(edge_targets(labels.to(dtype)), edge_targets(labels))
    for a, b in zip(distribution_targets(labels.to(dtype), 20), distribution_targets(labels, 20), strict=True):
        assert torch.equal(a, b)


def test_ignored_pixels_make_no_edge_and_edges_are_never_ignored() -> None:
    labels = torch.full((1, 6, 6), 255, dtype=torch.uint8)
    assert edge_targets(labels).count_nonzero() == 0
    labels[:, 2:4, 2:4] = 7
    assert edge_targets(labels).count_nonzero() == 0
    labels[:, 3, 3] = 8
    assert edge_targets(labels).unique().tolist() == [0, 1]


def test_a_dataset_without_background_keeps_class_zero_and_leaves_255_out() -> None:
    labels = torch.tensor([[[0, 0, 255], [0, 1, 255]]], dtype=torch.uint8)
    rows, cols = distribution_targets(labels, 2, has_background=False)
    assert rows[0].tolist() == [pytest.approx([1, 0.5], abs=1e-5), pytest.approx([0, 1], abs=1e-4)]
    assert cols[0].tolist() == [pytest.approx([1, 0.5, 0], abs=1e-5), pytest.approx([0, 1, 0], abs=1e-4)]
    rows, _ = distribution_targets(labels, 2)
    assert rows[0, 0].tolist() == [0, 0]


def test_inputs_are_left_as_they_were() -> None:
    labels = label_maps(3, 2, 33, 47)
    before = labels.clone()
    edge_targets(labels)
    distribution_targets(labels, 20)
    assert torch.equal(labels, before)


def test_nothing_depends_on_values_being_known_to_the_host() -> None:
    """Fake tensors have shapes but no values: anything that would wait for a GPU raises here."""
    with FakeTensorMode():
        labels = torch.zeros(2, 33, 47, dtype=torch.uint8)
        assert edge_targets(labels).shape == (2, 33, 47)
        rows, cols = distribution_targets(labels, 150, has_background=False)
    assert rows.shape == (2, 150, 33)
    assert cols.shape == (2, 150, 47)


@pytest.mark.parametrize("size", list(itertools.product((1, 2, 3), repeat=2)))
def test_tiny_maps(size: tuple[int, int]) -> None:
    labels = torch.arange(size[0] * size[1], dtype=torch.uint8).reshape(1, *size)
    assert edge_targets(labels).all() == (size != (1, 1))
