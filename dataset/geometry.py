"""The crop: one affine warp from a photograph to the network's input, and back.

All sizes are (height, width) in pixels; points are (x, y); angles are degrees, positive turning x towards y
(clockwise on screen, since y points down).
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL


class CropBox(NamedTuple):
    """What part of a photograph a crop shows: its centre (x, y) and its extent (width, height), float32 pixels."""

    center: NDArray[np.float32]
    scale: NDArray[np.float32]


def crop_box(image_size: tuple[int, int], input_size: tuple[int, int]) -> CropBox:
    """Return the box of the whole photograph, extended on one side to the crop's aspect ratio."""
    height, width = image_size[0] - 1, image_size[1] - 1
    center = np.array([width / 2, height / 2], dtype=np.float32)
    aspect = input_size[1] / input_size[0]
    scale = (width, width / aspect) if width > aspect * height else (aspect * height, height)
    # A one-pixel photograph would have a box without extent, which no affine transform can map.
    return CropBox(center, np.maximum(np.array(scale, dtype=np.float32), np.float32(1e-3)))


def affine_matrix(
    box: CropBox, input_size: tuple[int, int], rotation: float = 0.0, *, inverse: bool = False
) -> NDArray[np.float64]:
    """Return the 2 x 3 matrix that takes photograph coordinates to crop coordinates (or back, if `inverse`).

    Three points fix it: the centre, the middle of the upper edge, and the point that completes their right
    angle. Only the width of the box counts; its height follows from the crop's aspect ratio.
    """
    angle = np.deg2rad(rotation)
    half_width = float(box.scale[0]) / 2
    up = np.array([half_width * np.sin(angle), -half_width * np.cos(angle)])
    source = _right_angle(box.center, box.center + up)
    crop_center = np.array([input_size[1] / 2, input_size[0] / 2])
    target = _right_angle(crop_center, crop_center + np.array([0.0, -input_size[1] / 2]))
    if inverse:
        source, target = target, source
    return np.asarray(cv2.getAffineTransform(source, target), dtype=np.float64)


def _right_angle(a: NDArray, b: NDArray) -> NDArray[np.float32]:
    """Return points a, b and the third that makes a right angle at b, as float32 rows."""
    a, b = np.array([a, b], dtype=np.float32)
    return np.array([a, b, b + np.array([b[1] - a[1], a[0] - b[0]])])


def warp_image(image: NDArray[np.uint8], matrix: NDArray[np.float64], input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the crop of an image (H, W, 3), linear, black outside the photograph."""
    return _warp(image, matrix, input_size, cv2.INTER_LINEAR, 0)


def warp_label(label: NDArray[np.uint8], matrix: NDArray[np.float64], input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the crop of a label map (H, W), nearest, ignored outside the photograph."""
    return _warp(label, matrix, input_size, cv2.INTER_NEAREST, IGNORE_LABEL)


def warp_back(
    prediction: NDArray[np.uint8], inverse: NDArray[np.float64], image_size: tuple[int, int]
) -> NDArray[np.uint8]:
    """Return a predicted crop (h, w) at the photograph's own size, nearest, class 0 outside the crop.

    `inverse` comes from `affine_matrix(..., inverse=True)`.
    """
    return _warp(prediction, inverse, image_size, cv2.INTER_NEAREST, 0)


def fit_to_crop(image: NDArray[np.uint8], input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the crop (h, w, 3) that shows all of an image (H, W, 3): what every prediction is made from."""
    return warp_image(image, fit_matrix((image.shape[0], image.shape[1]), input_size), input_size)


def fit_label_to_crop(label: NDArray[np.uint8], input_size: tuple[int, int]) -> NDArray[np.uint8]:
    """Return the label map (h, w) of the crop that `fit_to_crop` makes of the image of a label map (H, W)."""
    return warp_label(label, fit_matrix((label.shape[0], label.shape[1]), input_size), input_size)


def fit_matrix(
    picture_size: tuple[int, int], input_size: tuple[int, int], *, inverse: bool = False
) -> NDArray[np.float64]:
    """Return the 2 x 3 matrix of `fit_to_crop`: picture coordinates to crop coordinates (or back, if `inverse`)."""
    return affine_matrix(crop_box(picture_size, input_size), input_size, inverse=inverse)


def fit_positions(
    picture_size: tuple[int, int], input_size: tuple[int, int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return where `fit_to_crop` puts a picture's rows (H,) and columns (W,): at which rows and columns of the crop."""
    matrix = fit_matrix(picture_size, input_size)
    return (
        matrix[1, 1] * np.arange(picture_size[0]) + matrix[1, 2],
        matrix[0, 0] * np.arange(picture_size[1]) + matrix[0, 2],
    )


def back_to_picture(
    classes: NDArray[np.uint8], picture_size: tuple[int, int], *, whole_pixel_centre: bool = False
) -> NDArray[np.uint8]:
    """Return the class map (h, w) of a crop that `fit_to_crop` made at the picture's own size (H, W), nearest.

    `whole_pixel_centre` truncates the centre of the picture's box to whole pixels, as the published evaluation does for
    this step alone: where a side is even, the map lands half a pixel off.
    """
    input_size = (classes.shape[0], classes.shape[1])
    box = crop_box(picture_size, input_size)
    if whole_pixel_centre:
        box = box._replace(center=np.trunc(box.center))
    return warp_back(classes, affine_matrix(box, input_size, inverse=True), picture_size)


def logits_back_to_picture(logits: NDArray[np.float32], picture_size: tuple[int, int]) -> NDArray[np.float16]:
    """Return the logits (K, h, w) of a crop that `fit_to_crop` made at the picture's own size (K, H, W).

    Linear; outside the crop its edge is continued.
    """
    inverse = fit_matrix(picture_size, (logits.shape[1], logits.shape[2]), inverse=True)
    result = np.empty((len(logits), *picture_size), dtype=np.float16)
    for plane, channel in zip(result, logits, strict=True):
        plane[:] = cv2.warpAffine(
            channel, inverse, picture_size[::-1], flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )
    return result


def _warp(
    pixels: NDArray[np.uint8], matrix: NDArray[np.float64], size: tuple[int, int], interpolation: int, border: int
) -> NDArray[np.uint8]:
    warped = cv2.warpAffine(pixels, matrix, size[::-1], flags=interpolation, borderValue=(border,) * 3)
    return np.asarray(warped, dtype=np.uint8)
