"""Boundary IoU: how well predictions follow the borders of classes, which the IoU of large areas hardly shows.

Cheng, Girshick, Dollár, Berg, Kirillov: "Boundary IoU: Improving Object-Centric Image Segmentation Evaluation", CVPR
2021.
"""

import math

import cv2
import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL

DIAGONAL_SHARE = 0.02
"""Width of the boundary regions, as a share of the picture's diagonal: the paper's choice."""


class BoundaryIoU:
    """Count pixels of boundary regions by class, exactly, over a whole set of images.

    The boundary region of a class in a map is what an erosion by d pixels takes from it (a square of 2 d + 1; what lies
    outside the picture is not the class), d being 2 % of the picture's diagonal, at least 1. Intersections and unions
    of the regions in prediction and label are summed over the set, as the IoU's are. Figures are percentages, 0..100.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.counts: NDArray[np.int64] = np.zeros((3, num_classes), dtype=np.int64)
        """Pixels by class: in both regions, in the label's, in the prediction's."""

    def update(self, pred: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
        """Add a prediction and its label map, (H, W) of class indices; 255 is no class.

        Pixels whose label is 255 do not count, and the prediction is taken to be 255 there as well: it has the same
        border with them as the label.
        """
        pred = np.where(label == IGNORE_LABEL, IGNORE_LABEL, pred).astype(np.uint8, copy=False)
        distance = boundary_width(label.shape)
        label_region, pred_region = boundary_regions(label, distance), boundary_regions(pred, distance)
        both = label_region & pred_region & (label == pred)
        for counts, classes in zip(self.counts, (label[both], label[label_region], pred[pred_region]), strict=True):
            counts += np.bincount(classes, minlength=256)[: self.num_classes]

    def merge(self, other: "BoundaryIoU") -> None:
        """Add the counts of another part of the set."""
        self.counts += other.counts

    @property
    def iou(self) -> NDArray[np.float64]:
        """Boundary IoU of each class, (K,); 0 for classes that never occur."""
        both, label, pred = self.counts
        return both / np.maximum(label + pred - both, 1) * 100.0

    @property
    def mean_iou(self) -> float:
        """Plain mean of `iou` over all classes, as the mIoU is."""
        return float(self.iou.mean())

    @property
    def mean_iou_present(self) -> float:
        """Mean of `iou` over the classes that occur in labels or predictions; 0 where none does."""
        present = self.counts.any(axis=0)
        return float(self.iou[present].mean()) if present.any() else 0.0


def boundary_width(size: tuple[int, ...]) -> int:
    """Return how many pixels deep boundary regions are in a picture of a size (height, width)."""
    return max(1, round(DIAGONAL_SHARE * math.hypot(*size)))


def boundary_regions(classes: NDArray[np.uint8], distance: int) -> NDArray[np.bool_]:
    """Return which pixels of a class map (H, W) are in the boundary region of their class, (H, W).

    They are those from which another class, or the outside, is at most `distance` pixels away along either axis. One
    distance transform finds them for all classes: from a pixel beside another class, the nearest of these is 1 away,
    and from any other pixel it is 1 further than the nearest pixel that is beside one.
    """
    square = np.ones((3, 3), dtype=np.uint8)
    inner = (cv2.dilate(classes, square) == cv2.erode(classes, square)).astype(np.uint8)
    inner[[0, -1]] = 0
    inner[:, [0, -1]] = 0
    beside = cv2.distanceTransform(inner, cv2.DIST_C, cv2.DIST_MASK_3)
    return np.asarray(beside < distance)
