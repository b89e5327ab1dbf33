"""What predictions are worth: their confusion matrix and boundary IoU, counted together."""

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL
from utils.boundaries import BoundaryIoU
from utils.distributed import reduce_sum
from utils.metrics import ConfusionMatrix


class Scores:
    """Count class maps (H, W) uint8 against label maps, over a whole set; a prediction of 255 is no class."""

    def __init__(self, num_classes: int) -> None:
        self.confusion = ConfusionMatrix(num_classes)
        self.boundary = BoundaryIoU(num_classes)

    def update(self, pred: NDArray[np.uint8], label: NDArray[np.uint8]) -> None:
        """Add a prediction and its label map of the same shape. Raises ValueError for classes outside 0..K-1."""
        found = pred != IGNORE_LABEL
        self.confusion.miss(label[~found])
        self.confusion.update(pred[found], label[found])
        self.boundary.update(pred, label)

    def merge(self, other: "Scores") -> None:
        """Add the counts of another part of the set."""
        self.confusion.merge(other.confusion)
        self.boundary.merge(other.boundary)

    def reduce(self) -> None:
        """Add the counts of all processes, each of which must call it."""
        counts = (self.confusion.matrix, self.confusion.missed, self.boundary.counts)
        sums = reduce_sum(np.concatenate([part.ravel() for part in counts]))
        for part in counts:
            part[...], sums = sums[: part.size].reshape(part.shape), sums[part.size :]
