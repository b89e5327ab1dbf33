"""What the crops of one picture become at its own size, and how several people in it are put together."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.geometry import back_to_picture, logits_back_to_picture
from utils.inference.borders import best_class, picture_alpha, picture_classes, picture_margins
from utils.inference.inputs import Region
from utils.inference.options import Wanted

ClassMap = NDArray[np.uint8]
T = TypeVar("T")


@dataclass(frozen=True)
class Prediction:
    """What the network says about one picture of (H, W). As a sequence it is the class map and the logits."""

    classes: ClassMap
    """(H, W) class indices."""
    logits: NDArray[np.float16] | None = None
    """(K, H, W) or (K, h, w), where they were asked for."""
    people: NDArray[np.uint8] | NDArray[np.uint16] | None = None
    """(H, W): 0 where nobody is, 1 for who was found in the first box, and so on. None where no boxes were given."""
    alpha: NDArray[np.uint8] | None = None
    """(H, W): how much of each pixel belongs to the classes that were asked for, 0..255."""

    def __iter__(self) -> Iterator[Any]:
        yield self.classes
        yield self.logits


class Part(NamedTuple):
    """What became of one crop: tensors on the CPU, once `wait` has returned.

    classes: (H, W) uint8 of its region, or (h, w) of the crop where the borders are the published ones.
    margins: (H, W) float32, set where other regions overlap this one.
    alpha: (H, W) uint8.
    logits: (K, h, w) float32.
    """

    classes: Tensor
    margins: Tensor | None
    alpha: Tensor | None
    logits: Tensor | None
    copied: "torch.cuda.Event | None"

    def wait(self) -> None:
        """Wait until a GPU has copied all of it."""
        if self.copied is not None:
            self.copied.synchronize()


def crop_part(logits: Tensor, size: tuple[int, int], shared: Region | None, wanted: Wanted) -> Part:
    """Return what becomes of a crop's logits (K, h, w) in its region of (height, width).

    Computes where the logits are; a GPU is not waited for.

    Args:
        shared: a part of the region, outside of which no other region of the picture claims anything.
    """
    smooth = wanted.borders == "smooth"
    classes = picture_classes(logits, size) if smooth else best_class(logits)
    margins = None
    if shared is not None:
        margins = torch.zeros(size, device=logits.device)
        margins[shared.rows, shared.columns] = picture_margins(
            logits, size, shared.rows, shared.columns, wanted.background, nearest=not smooth
        )
    alpha = None if wanted.alpha_of is None else picture_alpha(logits, size, wanted.alpha_of)
    results = (margins, alpha, logits if wanted.logits else None)
    copied = torch.cuda.Event() if logits.device.type == "cuda" else None

    def copy(result: Tensor) -> Tensor:
        return result.to("cpu", non_blocking=copied is not None)

    margins, alpha, logits_wanted = (None if result is None else copy(result) for result in results)
    part = Part(copy(classes), margins, alpha, logits_wanted, copied)
    if copied is not None:
        copied.record(torch.cuda.current_stream(logits.device))
    return part


class Canvas(Generic[T]):
    """The results of one picture, into which those of its regions are painted one after the other.

    Whatever their order, a pixel belongs to the region whose best class exceeds the background there by the most (or
    the second best class, where there is no background). Background covers nothing.

    Args:
        item: what the prediction is handed out with.
        size: (H, W) of the picture.
        regions: of its people, or all of it.
        has_people: whether `regions` come from boxes.
    """

    def __init__(
        self, item: T, size: tuple[int, int], regions: Sequence[Region], wanted: Wanted, *, has_people: bool
    ) -> None:
        self.item = item
        self.size = size
        self.regions = regions
        self.shared = [_shared(region, number, regions) for number, region in enumerate(regions)]
        self.missing = len(regions)
        self._wanted = wanted
        self._has_people = has_people
        self._painted: Prediction | None = None
        self._margins: NDArray[np.float32] | None = None

    def paint(self, number: int, part: Part) -> None:
        """Paint what became of the crop of `regions[number]`."""
        part.wait()
        self.missing -= 1
        rows, columns = region = self.regions[number]
        classes = np.asarray(part.classes.numpy())
        if self._wanted.borders == "published":
            classes = back_to_picture(classes, region.size)
        alpha = None if part.alpha is None else part.alpha.numpy()
        if not self._has_people:
            self._painted = Prediction(classes, self._logits(part), None, alpha)
            return
        canvas = self._background()
        assert canvas.people is not None
        own, owners = canvas.classes[rows, columns], canvas.people[rows, columns]
        claimed = classes != self._wanted.background
        if part.margins is not None:
            margins = part.margins.numpy()
            if self._margins is None:
                self._margins = np.zeros(self.size, np.float32)
            best = self._margins[rows, columns]
            claimed &= (owners == 0) | (margins > best)
            np.copyto(best, margins, where=claimed)
        np.copyto(own, classes, where=claimed)
        np.copyto(owners, number + 1, where=claimed, casting="unsafe")
        if alpha is not None and canvas.alpha is not None:
            there = canvas.alpha[rows, columns]
            np.maximum(there, alpha, out=there, where=owners == 0)
            np.copyto(there, alpha, where=claimed)

    def prediction(self) -> Prediction:
        """Return the results, once all regions are painted."""
        assert self.missing == 0
        return self._background() if self._painted is None else self._painted

    def _background(self) -> Prediction:
        """Return the results of what is painted, background where nothing is."""
        if self._painted is None:
            people_type = np.uint8 if len(self.regions) <= 255 else np.uint16
            self._painted = Prediction(
                np.full(self.size, self._wanted.background, np.uint8),
                None,
                np.zeros(self.size, people_type),
                None if self._wanted.alpha_of is None else np.zeros(self.size, np.uint8),
            )
        return self._painted

    def _logits(self, part: Part) -> NDArray[np.float16] | None:
        if part.logits is None:
            return None
        logits = part.logits.numpy()
        if self._wanted.logits == "picture":
            return logits_back_to_picture(logits, self.size)
        return logits.astype(np.float16)


def _shared(region: Region, number: int, regions: Sequence[Region]) -> Region | None:
    """Return the smallest rectangle with all that other regions claim of a region, in its own coordinates."""
    others = [other for place, other in enumerate(regions) if place != number]
    common = [(_common(region.rows, other.rows), _common(region.columns, other.columns)) for other in others]
    found = [(rows, columns) for rows, columns in common if rows is not None and columns is not None]
    if not found:
        return None
    return Region(_around([rows for rows, _ in found]), _around([columns for _, columns in found]))


def _around(ranges: Sequence[slice]) -> slice:
    return slice(min(one.start for one in ranges), max(one.stop for one in ranges))


def _common(own: slice, other: slice) -> slice | None:
    """Return what two ranges of pixels share, counted from the start of the first; None where that is nothing."""
    start, stop = max(own.start, other.start), min(own.stop, other.stop)
    return slice(start - own.start, stop - own.start) if start < stop else None
