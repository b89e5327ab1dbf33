"""From normalised crops to class maps: test-time augmentation, and how batches are spread over a device."""

import math
import threading
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeVar

import torch
from torch import Tensor

from dataset.descriptions import mirror_order
from dataset.normalise import normalise
from dataset.workers import available_cores
from modules.layers import resize
from utils.inference.borders import best_class
from utils.inference.cpu_threads import cpu_threads
from utils.inference.engines import Engine

MULTI_SCALES = (0.75, 1.0, 1.25)
R = TypeVar("R")


def fused_logits(
    engine: Engine,
    images: Tensor,
    *,
    scales: Sequence[float] = (1.0,),
    mirror: bool = True,
    flip_pairs: Sequence[tuple[int, int]] = (),
) -> Tensor:
    """Parse normalised images (N, 3, H, W) at several scales, each also mirrored, and average the logits.

    At each scale the image is resized to floor(size x scale); the logits of it and of its mirror image (mirrored back,
    left and right classes exchanged) are averaged and resized to (H, W); then the scales are averaged.

    Returns (N, K, H, W) float32 (float64 for float64 images).
    """
    size = images.shape[-2:]
    total = images.new_zeros(())
    for scale in scales:
        scaled_size = (math.floor(size[0] * scale), math.floor(size[1] * scale))
        scaled = images if scaled_size == tuple(size) else resize(images, scaled_size)
        if mirror:
            logits, mirrored = engine(torch.cat([scaled, scaled.flip(3)])).chunk(2)
            order = mirror_order(logits.shape[1], flip_pairs)
            logits = (logits + mirrored.flip(3)[:, order]) / 2
        else:
            logits = engine(scaled)
        total = total + resize(logits.to(images.dtype), size)
    return total / len(scales)


class CropParser:
    """Parse batches of crops with an engine: uint8 pixels in, logits or class maps out.

    On a GPU a batch is a batch. On the CPU the crops of a batch are parsed one by one, each with its mirror image: that
    is as fast, and needs less memory.

    Args:
        scales: of the crop, averaged.
        mirror: average with the mirror image, in which the classes of `flip_pairs` change places.
        deterministic: on the CPU, parse each crop on a single core, and as many at once as there are cores: its logits
            are then the same to the last bit whatever the batch size, the number of processes and of cores. Else the
            cores share the crops of a batch, and all work on a single one.
        cores: how many the CPU has for this; default, those this process may use.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        flip_pairs: Sequence[tuple[int, int]] = (),
        deterministic: bool = False,
        cores: int | None = None,
    ) -> None:
        self.device = engine.device
        self.deterministic = deterministic
        self.cores = cores or available_cores()
        self._fused = partial(fused_logits, engine, scales=tuple(scales), mirror=mirror, flip_pairs=tuple(flip_pairs))

    def each(self, images: Tensor, finish: Callable[[int, Tensor], R]) -> list[R]:
        """Return finish(i, logits) for each of the BGR crops (N, 3, h, w) uint8: its fused logits (K, h, w) float32.

        On the CPU in the thread that parsed the crop, so that only as many logits are held as there are cores.
        """
        if self.device.type == "cpu":
            at_once = max(1, min(self.cores, len(images)))
            cores_each = 1 if self.deterministic else self.cores // at_once
            with _cpu, cpu_threads(at_once, cores_each) as pool:
                crops = enumerate(images.split(1))
                return list(pool.map(lambda crop: finish(crop[0], self._forward(crop[1])[0]), crops))
        return [finish(index, logits) for index, logits in enumerate(self.logits(images))]

    def logits(self, images: Tensor) -> Tensor:
        """Map BGR crops (N, 3, h, w) uint8 to fused logits (N, K, h, w) float32 on the device."""
        if self.device.type == "cpu":
            return torch.stack(self.each(images, lambda _, logits: logits))
        return self._forward(images.to(self.device, non_blocking=True))

    def classes(self, images: Tensor) -> Tensor:
        """Map BGR crops (N, 3, h, w) uint8 to class maps (N, h, w) uint8 on the device."""
        if self.device.type == "cpu":
            return torch.stack(self.each(images, lambda _, logits: best_class(logits)))
        return best_class(self.logits(images))

    @torch.inference_mode()
    def _forward(self, images: Tensor) -> Tensor:
        return self._fused(normalise(images))


_cpu = threading.Lock()
"""Held by who computes on the CPU: crop parsers in several threads take turns, as each has use for all cores."""
