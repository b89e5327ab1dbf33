"""The confusion matrix, and the figures of merit of human parsing that follow from it."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset import IGNORE_LABEL


class ConfusionMatrix:
    """Count pixels by label and prediction, exactly (64-bit integers), over a whole set of images.

    All figures are percentages, 0..100. `mean_iou` and `mean_accuracy` follow the published evaluation: they run over
    all classes, those that never occur counting zero. `mean_iou_present` and `mean_accuracy_present` leave these out.
    """

    def __init__(self, num_classes: int) -> None:
        self.num_classes = num_classes
        self.matrix: NDArray[np.int64] = np.zeros((num_classes, num_classes), dtype=np.int64)
        """Pixels by [label, prediction]."""
        self.missed: NDArray[np.int64] = np.zeros(num_classes, dtype=np.int64)
        """Pixels by label for which there is no prediction."""

    def update(self, pred: NDArray | Tensor, label: NDArray | Tensor) -> None:
        """Add a prediction and its label map: integer arrays or tensors of one shape; label 255 is not counted.

        Raises TypeError for values that are not integers, ValueError for shapes that differ and for classes outside
        0..K-1 (also predicted where the label is 255).
        """
        pred, label = _as_tensor(pred, "prediction"), _as_tensor(label, "label")
        if pred.shape != label.shape:
            raise ValueError(f"prediction {tuple(pred.shape)} and label {tuple(label.shape)} differ in shape")
        pred, label = pred.to(label.device).flatten().long(), label.flatten().long()
        ignored = label == IGNORE_LABEL
        label = label.masked_fill(ignored, 0)
        self._check_range(pred, "prediction")
        self._check_range(label, "label")
        # Ignored pixels get a bin of their own: selecting the others would take several times as long as counting all.
        cells = self.num_classes**2
        pairs = (label * self.num_classes + pred).masked_fill(ignored, cells)
        counts = torch.bincount(pairs, minlength=cells + 1)[:cells]
        self.matrix += counts.reshape(self.num_classes, self.num_classes).cpu().numpy()

    def miss(self, label: NDArray[np.uint8]) -> None:
        """Add labelled pixels (255: not counted) for which there is no prediction: their class was not found there.

        Raises ValueError for classes outside 0..K-1.
        """
        counts = np.bincount(label.ravel(), minlength=256)
        self._check_range(torch.from_numpy(np.flatnonzero(counts[:IGNORE_LABEL])), "label")
        self.missed += counts[: self.num_classes]

    def merge(self, other: "ConfusionMatrix") -> None:
        """Add the counts of another matrix, from another process or another part of the set."""
        if other.num_classes != self.num_classes:
            raise ValueError(f"cannot merge {other.num_classes} classes into {self.num_classes}")
        self.matrix += other.matrix
        self.missed += other.missed

    @property
    def iou(self) -> NDArray[np.float64]:
        """Intersection over union of each class, (K,)."""
        hits = np.diag(self.matrix)
        union = self.matrix.sum(axis=0) + self.labelled - hits
        return hits / np.maximum(union, 1) * 100.0

    @property
    def labelled(self) -> NDArray[np.int64]:
        """Pixels by label, (K,)."""
        return self.matrix.sum(axis=1) + self.missed

    @property
    def mean_iou(self) -> float:
        """Plain mean of `iou` over all classes (mIoU)."""
        return float(self.iou.mean())

    @property
    def present(self) -> NDArray[np.bool_]:
        """Whether each class occurs among the labels or the predictions, (K,); the IoU of others is 0 by convention."""
        return (self.matrix.sum(axis=0) + self.labelled) > 0

    @property
    def mean_iou_present(self) -> float:
        """Mean of `iou` over the classes that are `present`; 0 where none is."""
        return float(self.iou[self.present].mean()) if self.present.any() else 0.0

    @property
    def pixel_accuracy(self) -> float:
        """Share of the counted pixels that are right."""
        return float(np.trace(self.matrix) / max(1, self.labelled.sum()) * 100.0)

    @property
    def mean_accuracy(self) -> float:
        """Plain mean over all classes of the share of the class's pixels that are right."""
        return float(self._right_shares().mean() * 100.0)

    @property
    def mean_accuracy_present(self) -> float:
        """The same mean over the classes that occur among the labels; 0 where none does."""
        labelled = self.labelled > 0
        return float(self._right_shares()[labelled].mean() * 100.0) if labelled.any() else 0.0

    def _right_shares(self) -> NDArray[np.float64]:
        """Return the share, 0..1, of each class's labelled pixels that are right, (K,)."""
        return np.diag(self.matrix) / np.maximum(self.labelled, 1)

    def _check_range(self, classes: Tensor, what: str) -> None:
        if classes.numel() and (classes.min() < 0 or classes.max() >= self.num_classes):
            wrong = classes[(classes < 0) | (classes >= self.num_classes)]
            raise ValueError(
                f"{what} holds class {int(wrong[0])} ({wrong.numel()} pixels out of range), but there are "
                f"{self.num_classes} classes, 0..{self.num_classes - 1}"
            )


def _as_tensor(classes: NDArray | Tensor, what: str) -> Tensor:
    # Copied, because torch warns about arrays that it may not write to: those of Pillow's images.
    tensor = classes if isinstance(classes, Tensor) else torch.tensor(np.ascontiguousarray(classes))
    if tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool:
        raise TypeError(f"{what} must hold integer classes, not {tensor.dtype}")
    return tensor
