"""From normalised crops to class maps: test-time augmentation, and how batches are spread over a device."""

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch
from torch import Tensor

from dataset.descriptions import mirror_order
from dataset.normalise import normalise
from dataset.workers import available_cores
from modules.layers import resize
from utils.inference.borders import best_class
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

    On a GPU a batch is a batch. On the CPU the crops of a batch are parsed one by one, each on a single core and as
    many at once as there are cores: that is as fast, and a crop's logits are then the same to the last bit whatever
    the batch size, the number of processes and the number of cores.

    Args:
        scales: of the crop, averaged.
        mirror: average with the mirror image, in which the classes of `flip_pairs` change places.
        cores: how many crops the CPU works on at once; default, the cores this process may use.
    """

    def __init__(
        self,
        engine: Engine,
        *,
        scales: Sequence[float] = (1.0,),
        mirror: bool = True,
        flip_pairs: Sequence[tuple[int, int]] = (),
        cores: int | None = None,
    ) -> None:
        self.engine = engine
        self.device = engine.device
        self.scales = tuple(scales)
        self.mirror = mirror
        self.flip_pairs = tuple(flip_pairs)
        self.cores = cores or available_cores()

    def each(self, images: Tensor, finish: Callable[[int, Tensor], R]) -> list[R]:
        """Return finish(i, logits) for each of the BGR crops (N, 3, h, w) uint8: its fused logits (K, h, w) float32.

        On the CPU in the thread that parsed the crop, so that only as many logits are held as there are cores.
        """
        if self.device.type == "cpu":
            with one_core_each(max(1, min(self.cores, len(images)))) as pool:
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
        return fused_logits(
            self.engine, normalise(images), scales=self.scales, mirror=self.mirror, flip_pairs=self.flip_pairs
        )


@contextlib.contextmanager
def one_core_each(workers: int) -> Iterator[ThreadPoolExecutor]:
    """Give a pool of threads in each of which PyTorch computes on one core; outside it nothing changes."""
    threads = torch.get_num_threads()
    with ThreadPoolExecutor(workers, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        try:
            yield pool
        finally:
            torch.set_num_threads(threads)
