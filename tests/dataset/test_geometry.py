"""The crop's geometry: there and back again, for photographs of every shape."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from dataset.geometry import (
    CropBox,
    affine_matrix,
    back_to_picture,
    crop_box,
    fit_label_to_crop,
    fit_to_crop,
    logits_back_to_picture,
    warp_back,
    warp_image,
    warp_label,
)

SIDES = st.one_of(st.integers(1, 3), st.integers(1, 12_000))
SIZES = st.tuples(SIDES, SIDES)
CROPS = st.one_of(st.just((473, 473)), st.tuples(st.integers(65, 1200), st.integers(65, 1200)))


@settings(deadline=None)
@given(size=SIZES, crop=CROPS, rotation=st.floats(-180, 180), factor=st.floats(0.75, 1.25), data=st.data())
@example(size=(1, 1), crop=(473, 473), rotation=0.0, factor=1.0, data=None)
@example(size=(12_000, 1), crop=(65, 1200), rotation=60.0, factor=0.75, data=None)
@example(size=(1, 12_000), crop=(1200, 65), rotation=-60.0, factor=1.25, data=None)
def test_forward_then_inverse_returns_every_pixel(
    size: tuple[int, int], crop: tuple[int, int], rotation: float, factor: float, data: st.DataObject | None
) -> None:
    """To within a pixel at the corners, where errors are largest, and anywhere in between."""
    center, scale = crop_box(size, crop)
    box = CropBox(center, scale * np.float32(factor))
    forward = affine_matrix(box, crop, rotation)
    inverse = affine_matrix(box, crop, rotation, inverse=True)
    assert np.isfinite(forward).all()
    assert np.isfinite(inverse).all()
    bottom, right = size[0] - 1, size[1] - 1
    points = [(0, 0), (right, 0), (0, bottom), (right, bottom), (right / 2, bottom / 2)]
    if data is not None:
        points.append((data.draw(st.integers(0, right)), data.draw(st.integers(0, bottom))))
    photograph = np.array([(x, y, 1) for x, y in points], dtype=np.float64)
    in_crop = photograph @ forward.T
    returned = np.column_stack([in_crop, np.ones(len(points))]) @ inverse.T
    assert np.abs(returned - photograph[:, :2]).max() < 1


@settings(deadline=None)
@given(size=SIZES, crop=CROPS)
def test_the_box_holds_the_whole_photograph_and_has_the_crops_shape(
    size: tuple[int, int], crop: tuple[int, int]
) -> None:
    box = crop_box(size, crop)
    assert box.center.dtype == box.scale.dtype == np.float32
    assert box.center.tolist() == [(size[1] - 1) / 2, (size[0] - 1) / 2]
    assert box.scale[0] >= size[1] - 1
    assert box.scale[1] >= size[0] - 1
    if size != (1, 1):
        assert box.scale[0] / box.scale[1] == pytest.approx(crop[1] / crop[0], rel=1e-5)
        touched = np.isclose(box.scale, [size[1] - 1, size[0] - 1], rtol=1e-6)
        assert touched.any()  # as small as that allows


@settings(deadline=None)
@given(size=SIZES, crop=CROPS)
@example(size=(1, 1), crop=(473, 473))
def test_the_photographs_corners_lie_in_the_crop_and_its_centre_in_the_middle(
    size: tuple[int, int], crop: tuple[int, int]
) -> None:
    box = crop_box(size, crop)
    matrix = affine_matrix(box, crop)
    assert matrix @ (*box.center, 1) == pytest.approx([crop[1] / 2, crop[0] / 2], abs=0.05)
    for x in (0, size[1] - 1):
        for y in (0, size[0] - 1):
            u, v = matrix @ (x, y, 1)
            assert -0.01 <= u <= crop[1] + 0.01
            assert -0.01 <= v <= crop[0] + 0.01


def test_rotation_is_positive_from_x_to_y() -> None:
    """Turned by 90 degrees, the crop's upper edge shows what lies to the right of the photograph's centre."""
    box = crop_box((101, 101), (100, 100))
    inverse = affine_matrix(box, (100, 100), 90.0, inverse=True)
    assert inverse @ (50, 0, 1) == pytest.approx([100, 50], abs=1e-4)
    assert affine_matrix(box, (100, 100)) @ (50, 50, 1) == pytest.approx([50, 50], abs=1e-4)


def parts(height: int, width: int) -> np.ndarray:
    generator = np.random.default_rng(7)
    return generator.integers(0, 20, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("size", [(60, 50), (50, 60), (97, 31), (20, 300), (1, 40), (40, 1), (1, 1), (2, 2)])
def test_a_label_map_warped_and_mapped_back_is_itself(size: tuple[int, int]) -> None:
    """Wherever the crop has room for each pixel; the box ends at the last pixel's centre, which falls outside."""
    label = parts(*size)
    crop = (900, 900)
    box = crop_box(size, crop)
    warped = warp_label(label, affine_matrix(box, crop), crop)
    back = warp_back(warped, affine_matrix(box, crop, inverse=True), size)
    assert back.shape == label.shape
    assert back.dtype == np.uint8
    height, width = max(1, size[0] - 1), max(1, size[1] - 1)
    np.testing.assert_array_equal(back[:height, :width], label[:height, :width])


@pytest.mark.parametrize("size", [(40, 30), (41, 30), (40, 31), (41, 31)])
def test_the_published_centre_moves_the_map_by_half_a_pixel_where_a_side_is_even(size: tuple[int, int]) -> None:
    """The crop has 20 pixels for each of the picture's, so that half of one shows: which one a point falls into."""
    label = (np.add.outer(31 * np.arange(size[0]), np.arange(size[1])) % 251).astype(
        np.uint8
    )  # no two neighbours alike
    crop = (800, 800)
    warped = fit_label_to_crop(label, crop)
    exact, published = back_to_picture(warped, size), back_to_picture(warped, size, whole_pixel_centre=True)
    inside = (slice(1, -1), slice(1, -1))
    np.testing.assert_array_equal(exact[inside], label[inside])
    # A centre that is too small by half a pixel puts what was at x + 1/2 at x: its pixel may be x or x + 1.
    shifts = [(dy, dx) for dy in range(1 + (size[0] % 2 == 0)) for dx in range(1 + (size[1] % 2 == 0))]
    moved = [np.roll(label, (-dy, -dx), axis=(0, 1))[inside] == published[inside] for dy, dx in shifts]
    assert np.any(moved, axis=0).all()
    assert (published[inside] == label[inside]).all() == (len(shifts) == 1)


@pytest.mark.parametrize("size", [(60, 50), (50, 61), (20, 90)])
def test_a_picture_its_labels_and_its_logits_are_fitted_to_the_crop_and_back_by_the_same_warp(
    size: tuple[int, int],
) -> None:
    """A picture whose gray values are its classes: all three agree wherever nothing is interpolated."""
    label = np.repeat(np.repeat(parts(-(-size[0] // 10), -(-size[1] // 10)), 10, axis=0), 10, axis=1)
    label = np.ascontiguousarray(label[: size[0], : size[1]])
    crop = (400, 300)
    image = fit_to_crop(np.repeat(label[..., None], 3, axis=2), crop)
    fitted = fit_label_to_crop(label, crop)
    np.testing.assert_array_equal(
        image, warp_image(np.dstack([label] * 3), affine_matrix(crop_box(size, crop), crop), crop)
    )
    shown = fitted != 255
    assert (image[..., 0] == fitted)[shown].mean() > 0.75
    logits = logits_back_to_picture(np.where(shown, fitted, 0)[None].astype(np.float32), size)[0]
    inside = (slice(1, -1), slice(1, -1))
    back = back_to_picture(fitted, size)
    np.testing.assert_array_equal(back[inside], label[inside])
    assert (logits == back)[inside].mean() > 0.75


def test_what_lies_outside_is_black_ignored_or_background() -> None:
    image, label = np.full((40, 80, 3), 200, np.uint8), np.full((40, 80), 7, np.uint8)
    crop = (97, 97)
    box = crop_box((40, 80), crop)
    matrix = affine_matrix(box, crop)
    assert warp_image(image, matrix, crop)[0].max() == 0
    assert warp_label(label, matrix, crop)[0].min() == 255
    assert warp_label(label, matrix, crop)[48, 40] == 7
    assert warp_image(image, matrix, crop)[48, 40].tolist() == [200] * 3
    # A crop that shows a quarter of the photograph leaves the rest of it to the background.
    near = CropBox(box.center, box.scale * np.float32(0.25))
    back = warp_back(np.full(crop, 9, np.uint8), affine_matrix(near, crop, inverse=True), (40, 80))
    assert back[20, 40] == 9
    assert back[0, 0] == 0


def test_labels_are_never_interpolated() -> None:
    label = np.zeros((33, 33), np.uint8)
    label[:, 16:] = 19
    box = crop_box((33, 33), (97, 129))
    warped = warp_label(label, affine_matrix(box, (97, 129), 33.0), (97, 129))
    assert warped.shape == (97, 129)
    assert set(np.unique(warped)) == {0, 19, 255}
