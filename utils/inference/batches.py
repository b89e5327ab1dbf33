"""From a few pictures to a batch of crops, and from the batch's class maps and logits back to the pictures."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Literal, NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.geometry import back_to_picture, fit_to_crop, logits_back_to_picture
from utils.inference.inputs import Boxes, PictureLike, Region, pixel_regions, rgb_picture, whole_picture

ClassMap = NDArray[np.uint8]
LogitsSize = Literal["network", "picture"]
T = TypeVar("T")


class Prediction(NamedTuple):
    """What the network says about one picture of (H, W)."""

    classes: ClassMap
    """(H, W) class indices."""
    logits: NDArray[np.float16] | None
    """(K, H, W) or (K, h, w), where they were asked for."""


@dataclass(frozen=True)
class CropBatch(Generic[T]):
    """Crops of several pictures, (n, 3, h, w) uint8 BGR, and where in which picture of what size each belongs.

    items: what the predictions of the pictures are handed out with.
    """

    items: list[T]
    crops: Tensor
    sizes: list[tuple[int, int]]
    regions: list[list[Region]]


def crop_batch(items: Sequence[tuple[T, PictureLike, Boxes | None]], crop_size: tuple[int, int]) -> CropBatch[T]:
    """Fit pictures, or what the boxes cut out of them, to crops; `items` are those of `HumanParser.predict_items`."""
    crops, sizes, regions = [], [], []
    for _, image, boxes in items:
        picture = rgb_picture(image)
        size = (picture.shape[0], picture.shape[1])
        parts = [whole_picture(size)] if boxes is None else pixel_regions(boxes, size)
        crops += [fit_to_crop(picture[part.rows, part.columns], crop_size)[..., ::-1] for part in parts]
        sizes.append(size)
        regions.append(parts)
    stacked = np.stack(crops) if crops else np.empty((0, *crop_size, 3), dtype=np.uint8)
    pixels = torch.from_numpy(stacked).permute(0, 3, 1, 2).contiguous()
    return CropBatch([item for item, _, _ in items], pixels, sizes, regions)


def picture_predictions(
    batch: CropBatch[T], classes: Tensor, logits: Tensor | None, return_logits: LogitsSize | None, background: int
) -> Iterator[tuple[T, Prediction]]:
    """Yield each picture's item and its prediction at the picture's own size.

    Args:
        classes: (n, h, w) uint8 of the batch's crops, on any device.
        logits: (n, K, h, w) float32 of the batch's crops, where the predictions shall have some.
        return_logits: at what size.
        background: the class index that crops do not cover others with.
    """
    class_crops = iter(classes.cpu().numpy())
    logit_crops = itertools.repeat(None) if logits is None else iter(logits.cpu().numpy())
    for item, size, regions in zip(batch.items, batch.sizes, batch.regions, strict=True):
        painted = np.full(size, background, dtype=np.uint8)
        for region in regions:
            _paste(painted[region.rows, region.columns], next(class_crops), background)
        crop = next(logit_crops)
        if crop is not None and return_logits == "picture":
            crop = logits_back_to_picture(crop, size)
        yield item, Prediction(painted, None if crop is None else crop.astype(np.float16))


def _paste(target: ClassMap, crop: ClassMap, background: int) -> None:
    """Paint a parsed crop (h, w) into its region of a class map."""
    part = back_to_picture(crop, (target.shape[0], target.shape[1]))
    np.copyto(target, part, where=part != background)
