"""What the crops of one picture become at its own size, and how several people in it are put together."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.geometry import back_to_picture, logits_back_to_picture
from utils.inference.borders import best_class, picture_alpha, picture_classes, picture_margins
from utils.inference.inputs import Boxes, Region, pixel_regions
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
    """What became of one crop: tensors on the CPU, by name, which a GPU has filled when `copied` has happened.

    classes: (H, W) uint8 of its region, or (h, w) of the crop where the borders are the published ones.
    margins: (H, W) float32, where other regions overlap this one.
    alpha: (H, W) uint8, and logits: (K, h, w) float32, where they are wanted.
    """

    tensors: dict[str, Tensor]
    copied: "torch.cuda.Event | None"


class Canvas(Generic[T]):
    """The results of one picture, into which those of its regions are painted one after the other.

    Whatever their order, a pixel belongs to the region whose best class exceeds the background there by the most (or
    the second best class, where there is no background). Background covers nothing.

    Args:
        item: what the prediction is handed out with.
        size: (H, W) of the picture.
        boxes: of its people; None for a picture that is one region. Raises ValueError as `pixel_regions`.

    Attributes:
        regions: what is cut out of the picture, and becomes a crop each.
        missing: how many of them are not painted yet.
    """

    def __init__(self, item: T, size: tuple[int, int], boxes: Boxes | None, wanted: Wanted) -> None:
        self.item = item
        self.size = size
        whole = Region(slice(0, size[0]), slice(0, size[1]))
        self.regions = [whole] if boxes is None else pixel_regions(boxes, size)
        self.missing = len(self.regions)
        self._wanted = wanted
        self._has_people = boxes is not None
        self._margins: NDArray[np.float32] | None = None

    def part(self, number: int, logits: Tensor) -> Part:
        """Return what becomes of the logits (K, h, w) of the crop of `regions[number]`.

        Computes where the logits are; a GPU is not waited for.
        """
        wanted, size, shared = self._wanted, self.regions[number].size, self._shared(number)
        smooth = wanted.borders == "smooth"
        tensors = {"classes": picture_classes(logits, size) if smooth else best_class(logits)}
        if shared is not None:
            tensors["margins"] = torch.zeros(size, device=logits.device)
            tensors["margins"][shared.rows, shared.columns] = picture_margins(
                logits, size, shared.rows, shared.columns, wanted.description.background, nearest=not smooth
            )
        if wanted.alpha_of is not None:
            tensors["alpha"] = picture_alpha(logits, size, wanted.alpha_of)
        if wanted.logits is not None:
            tensors["logits"] = logits
        copies = {name: tensor.to("cpu", non_blocking=logits.is_cuda) for name, tensor in tensors.items()}
        if not logits.is_cuda:
            return Part(copies, None)
        copied = torch.cuda.Event()
        copied.record(torch.cuda.current_stream(logits.device))
        return Part(copies, copied)

    def paint(self, number: int, part: Part) -> None:
        """Paint what became of the crop of `regions[number]`."""
        if part.copied is not None:
            part.copied.synchronize()
        self.missing -= 1
        rows, columns = region = self.regions[number]
        found = {name: tensor.numpy() for name, tensor in part.tensors.items()}
        classes, alpha = found["classes"], found.get("alpha")
        if self._wanted.borders == "published":
            classes = back_to_picture(classes, region.size)
        if not self._has_people:
            logits = None
            if self._wanted.logits == "network":
                logits = found["logits"].astype(np.float16)
            elif self._wanted.logits == "picture":
                logits = logits_back_to_picture(found["logits"], self.size)
            self.prediction = Prediction(classes, logits, None, alpha)
            return
        canvas = self.prediction
        assert canvas.people is not None
        own, owners = canvas.classes[rows, columns], canvas.people[rows, columns]
        claimed = classes != self._wanted.description.background
        if "margins" in found:
            if self._margins is None:
                self._margins = np.zeros(self.size, np.float32)
            best = self._margins[rows, columns]
            claimed &= (owners == 0) | (found["margins"] > best)
            np.copyto(best, found["margins"], where=claimed)
        np.copyto(own, classes, where=claimed)
        np.copyto(owners, number + 1, where=claimed, casting="unsafe")
        if alpha is not None and canvas.alpha is not None:
            there = canvas.alpha[rows, columns]
            np.maximum(there, alpha, out=there, where=owners == 0)
            np.copyto(there, alpha, where=claimed)

    @cached_property
    def prediction(self) -> Prediction:
        """What is painted so far, background where nothing is."""
        return Prediction(
            np.full(self.size, self._wanted.description.background, np.uint8),
            None,
            np.zeros(self.size, np.uint8 if len(self.regions) <= 255 else np.uint16),
            None if self._wanted.alpha_of is None else np.zeros(self.size, np.uint8),
        )

    def _shared(self, number: int) -> Region | None:
        """Return the smallest rectangle with all that other regions claim of one, in its own coordinates."""
        starts = np.array([(rows.start, columns.start) for rows, columns in self.regions])
        stops = np.array([(rows.stop, columns.stop) for rows, columns in self.regions])
        low, high = np.maximum(starts, starts[number]), np.minimum(stops, stops[number])
        common = (low < high).all(axis=1)
        common[number] = False
        if not common.any():
            return None
        top, left = low[common].min(axis=0) - starts[number]
        bottom, right = high[common].max(axis=0) - starts[number]
        return Region(slice(top, bottom), slice(left, right))
