"""Items for PyTorch's DataLoader: random crops for training.

A worker hands over bytes and nothing more. Normalisation, edges and class distributions are computed for the
whole batch on the device, where they cost next to nothing.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from dataset.augmentation import augment
from dataset.descriptions import DatasetDescription
from dataset.layouts import Sample
from dataset.parsing_dataset import channels_first
from dataset.reading import read_sample


class TrainingCrops(Dataset[dict[str, Tensor]]):
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
        crop_size: tuple[int, int],
        seed: int,
        random_mirror: bool = True,
        random_scale: bool = True,
        random_rotation: bool = True,
        random_colour: bool = True,
    ) -> None:
        """crop_size is (height, width) in pixels; seed is a whole number that is not negative."""
        self.samples = samples
        self.description = description
        self.crop_size = crop_size
        self.seed = seed
        self.switches = {
            "random_mirror": random_mirror,
            "random_scale": random_scale,
            "random_rotation": random_rotation,
            "random_colour": random_colour,
        }
        self._mirror_table = description.mirror_table()

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, key: tuple[int, int]) -> dict[str, Tensor]:
        """Return {"image": (3, h, w) uint8 BGR, "label": (h, w) uint8, 255 = ignore} of a key (epoch, index)."""
        epoch, index = key
        image, label = read_sample(self.samples[index], self.description)
        image, label = augment(
            image,
            label,
            self.crop_size,
            np.random.default_rng([self.seed, epoch, index]),
            mirror_table=self._mirror_table,
            **self.switches,
        )
        return {"image": channels_first(image), "label": torch.from_numpy(label)}
