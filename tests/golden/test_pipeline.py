"""Targets, crop geometry and metrics against the published pipeline."""

import cv2
import numpy as np
import pytest
import torch

from dataset.geometry import CropBox, affine_matrix, back_to_picture, crop_box, warp_back, warp_image, warp_label
from dataset.targets import distribution_targets, edge_targets
from tests.golden.recorded import load
from utils.metrics import ConfusionMatrix

# Recorded with OpenCV 5, whose warps differ from OpenCV 4's in the last bits of the interpolation.
OPENCV_4 = int(cv2.__version__.split(".")[0]) < 5


def test_targets_are_the_published_ones() -> None:
    recorded = load("targets")
    labels = torch.from_numpy(recorded["labels"])
    rows, cols = distribution_targets(labels, int(recorded["num_classes"]))
    np.testing.assert_array_equal(edge_targets(labels), recorded["edges"])
    np.testing.assert_allclose(rows, recorded["rows"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(cols, recorded["cols"], rtol=0, atol=1e-6)


@pytest.mark.parametrize("case", range(6))
def test_crop_is_the_published_one(case: int) -> None:
    recorded = {key.partition("_")[2]: value for key, value in load("affine").items() if key.startswith(f"{case}_")}
    image, label, rotation = recorded["image"], recorded["label"], float(recorded["rotation"])
    size, crop = image.shape[:2], (int(recorded["crop"][0]), int(recorded["crop"][1]))
    center, scale = crop_box(size, crop)
    box = CropBox(center, scale * np.float32(recorded["scale_factor"]))
    np.testing.assert_array_equal(box.center, recorded["center"])
    np.testing.assert_allclose(box.scale, recorded["scale"], rtol=1e-6)

    matrix = affine_matrix(box, crop, rotation)
    inverse = affine_matrix(box, crop, rotation, inverse=True)
    np.testing.assert_allclose(matrix, recorded["matrix"], rtol=0, atol=1e-6)
    np.testing.assert_allclose(inverse, recorded["inverse"], rtol=0, atol=1e-6)

    warped = warp_image(image, matrix, crop)
    difference = np.abs(warped.astype(int) - recorded["warped_image"].astype(int))
    assert difference.max() <= (4 if OPENCV_4 else 0)
    np.testing.assert_array_equal(warp_label(label, matrix, crop), recorded["warped_label"])
    if recorded["label_back"].size:
        back = warp_back(recorded["warped_label"], inverse, size)
        assert np.mean(back == recorded["label_back"]) >= (0.99 if OPENCV_4 else 1.0)


def test_mapping_back_was_recorded_for_the_crops_without_augmentation() -> None:
    recorded = load("affine")
    assert [recorded[f"{case}_label_back"].size > 0 for case in range(6)] == [True] * 4 + [False] * 2


@pytest.mark.parametrize("case", range(8))
def test_predictions_are_mapped_back_as_published_and_by_the_exact_centre(case: int) -> None:
    recorded = load("mapback")
    size, crop = (int(recorded[f"size{case}"][0]), int(recorded[f"size{case}"][1])), recorded[f"crop{case}"]
    published, exact = back_to_picture(crop, size, whole_pixel_centre=True), back_to_picture(crop, size)
    for found, expected in ((published, recorded[f"published{case}"]), (exact, recorded[f"exact{case}"])):
        assert found.shape == expected.shape
        assert np.mean(found == expected) >= (0.99 if OPENCV_4 else 1.0)
    # Only where a side is even does the centre lie between pixels.
    assert np.array_equal(published, exact) == bool(size[0] % 2 and size[1] % 2)


def test_metrics_are_the_published_ones() -> None:
    recorded = load("metrics")
    matrix = ConfusionMatrix(int(recorded["num_classes"]))
    for pair in range(int(recorded["count"])):
        matrix.update(recorded[f"pred{pair}"], recorded[f"gt{pair}"])
    np.testing.assert_array_equal(matrix.matrix, recorded["confusion"])
    np.testing.assert_array_equal(matrix.iou, recorded["iou"])
    assert matrix.mean_iou == float(recorded["mean_iou"])
    assert matrix.pixel_accuracy == float(recorded["pixel_accuracy"])
    assert matrix.mean_accuracy == float(recorded["mean_accuracy"])
