"""Items for PyTorch's DataLoader: random crops for training, whole photographs for evaluation.

A worker hands over bytes and nothing more. Normalisation, edges and class distributions are computed for the
whole batch on the device, where they cost next to nothing.
"""

import atexit
import multiprocessing
import signal
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import NamedTuple, TypeVar

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset
from typing_extensions import Unpack

from dataset.augmentation import Switches, augment
from dataset.command import STOP_SIGNALS
from dataset.descriptions import DatasetDescription
from dataset.geometry import fit_to_crop
from dataset.layouts import Sample
from dataset.loading import PhotographsAtHand, end_at_once
from dataset.reading import read_image, read_sample

Item = TypeVar("Item")


class _Crops(Dataset[Item]):
    """Photographs as crops of one size, and which of them each worker is at."""

    def __init__(
        self, samples: Sequence[Sample], description: DatasetDescription, *, input_size: tuple[int, int]
    ) -> None:
        """input_size is (height, width) in pixels."""
        self.samples = samples
        self.description = description
        self.input_size = input_size
        self.at_hand = PhotographsAtHand(samples)

    def __len__(self) -> int:
        return len(self.samples)


class TrainingCrops(_Crops[dict[str, Tensor]]):
    """Random crops of the labelled photographs; their keys are pairs (epoch, index).

    A crop's random numbers come from (seed, epoch, index) alone, so batches do not depend on how many workers
    make them. The epoch is part of the key, because workers that live through several epochs have no other way
    to learn of it: the sampler counts the epochs.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        description: DatasetDescription,
        *,
        input_size: tuple[int, int],
        seed: int,
        **switches: Unpack[Switches],
    ) -> None:
        """input_size is (height, width) in pixels, seed not negative, switches are `augment`'s, as `random_mirror`.

        Raises TypeError for a switch that there is not.
        """
        if unknown := switches.keys() - Switches.__annotations__.keys():
            raise TypeError(f"there is no switch {min(unknown)!r}; there are {', '.join(Switches.__annotations__)}")
        super().__init__(samples, description, input_size=input_size)
        self.seed = seed
        self.switches = switches
        self._mirror_table = description.mirror_table()

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return {"image": (3, h, w) uint8 BGR, "label": (h, w) uint8, 255 = ignore} of a key (epoch, index)."""
        epoch, index = key
        self.at_hand.note(index)
        image, label = read_sample(self.samples[index], self.description)
        rng = np.random.default_rng([self.seed, epoch, index])
        image, label = augment(image, label, self.input_size, rng, mirror_table=self._mirror_table, **self.switches)
        return {"image": channels_first(image), "label": torch.from_numpy(label)}


class EvaluationBatch(NamedTuple):
    """Photographs warped whole to the crop, and what is needed to judge their predictions at full size.

    images: (N, 3, h, w) uint8 BGR. indices: the photographs' places in the list of samples. sizes: (height, width) of
    each. labels: (height, width) uint8 at full size, or None without labels.
    """

    images: Tensor
    indices: list[int]
    sizes: list[tuple[int, int]]
    labels: list[NDArray[np.uint8] | None]


class EvaluationCrops(_Crops[EvaluationBatch]):
    """Whole photographs as batches of one, by index, with their labels where the samples have them."""

    def __getitem__(self, index: int) -> EvaluationBatch:
        self.at_hand.note(index)
        sample = self.samples[index]
        if sample.label_path is None:
            image, label = read_image(sample.image_path), None
        else:
            image, label = read_sample(sample, self.description)
        crop = channels_first(fit_to_crop(image, self.input_size))
        return EvaluationBatch(crop[None], [index], [(image.shape[0], image.shape[1])], [label])


def collate_evaluation(items: Sequence[EvaluationBatch]) -> EvaluationBatch:
    """Join batches: `collate_fn` of a DataLoader of `EvaluationCrops`."""
    images, *lists = zip(*items, strict=True)
    return EvaluationBatch(torch.cat(images), *(list(chain.from_iterable(part)) for part in lists))


def worker_init(worker_id: int) -> None:
    """Prepare a DataLoader's worker: `worker_init_fn`.

    It keeps to one core, since the workers are the parallelism already, and leaves signals that ask the run to stop to
    the main process, which still needs its batch and ends the workers itself.
    """
    cv2.setNumThreads(0)
    torch.set_num_threads(1)
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


@atexit.register
def _end_workers() -> None:
    """End the workers that an error left running: multiprocessing would send them SIGTERM and wait for them forever.

    They are those that ignore it; multiprocessing itself ends the program's other daemonic children.
    """
    workers = [child for child in multiprocessing.active_children() if child.daemon and _ignores_sigterm(child.pid)]
    if workers:
        end_at_once(workers)


def _ignores_sigterm(pid: int | None) -> bool:
    """Return whether a process ignores SIGTERM; taken for granted where the system has no /proc to tell."""
    try:
        status = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return not Path("/proc/self/status").exists()
    mask = int(status.partition("SigIgn:")[2].split()[0], 16)
    return bool(mask >> (signal.SIGTERM - 1) & 1)


def channels_first(image: NDArray[np.uint8]) -> Tensor:
    """Turn an image (H, W, 3) into a tensor (3, H, W)."""
    return torch.from_numpy(np.ascontiguousarray(image.transpose(2, 0, 1)))
