"""From pictures to batches of crops, and to the canvases on which the batches' results are put together."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.geometry import fit_to_crop
from utils.inference.canvas import Canvas
from utils.inference.inputs import Boxes, PictureLike, pixel_regions, rgb_picture, whole_picture
from utils.inference.options import Wanted

T = TypeVar("T")


@dataclass(frozen=True)
class CropBatch(Generic[T]):
    """Crops that go through the network together.

    crops: (n, 3, h, w) uint8 BGR.
    places: of each crop, its picture's canvas and the number of its region there.
    canvases: those of all pictures that have begun in this batch, also where they have no region.
    """

    crops: Tensor
    places: list[tuple[Canvas[T], int]]
    canvases: list[Canvas[T]]


def crop_batches(
    items: Iterator[tuple[T, PictureLike, Boxes | None]], input_size: tuple[int, int], batch_size: int, wanted: Wanted
) -> Iterator[CropBatch[T]]:
    """Fit pictures, or what the boxes cut out of them, to crops, `batch_size` pictures at a time.

    Where these have more crops than that, they make several batches. `items` are those of `HumanParser.predict_items`.
    """
    while chosen := list(itertools.islice(items, batch_size)):
        canvases: list[Canvas[T]] = []
        crops: list[NDArray[np.uint8]] = []
        places: list[tuple[Canvas[T], int]] = []
        for item, image, boxes in chosen:
            picture = rgb_picture(image)
            size = (picture.shape[0], picture.shape[1])
            regions = [whole_picture(size)] if boxes is None else pixel_regions(boxes, size)
            canvas = Canvas(item, size, regions, wanted, has_people=boxes is not None)
            canvases.append(canvas)
            places += [(canvas, number) for number in range(len(regions))]
            crops += [fit_to_crop(picture[part.rows, part.columns], input_size)[..., ::-1] for part in regions]
        del chosen, picture
        for first in range(0, max(1, len(crops)), batch_size):
            some = slice(first, first + batch_size)
            yield CropBatch(_stacked(crops[some], input_size), places[some], canvases if first == 0 else [])


def _stacked(crops: Sequence[NDArray[np.uint8]], input_size: tuple[int, int]) -> Tensor:
    """Return crops (h, w, 3) as one tensor (n, 3, h, w)."""
    stacked = np.stack(crops) if crops else np.empty((0, *input_size, 3), dtype=np.uint8)
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
