"""Which images each process reads at each training step."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, field

import numpy as np
from torch.utils.data import Sampler


@dataclass(eq=False)
class TrainingBatches(Sampler[list[tuple[int, int]]]):
    """Yield the batches of one process as keys (epoch, image index) for `TrainingCrops`.

    A step's images are consecutive in the epoch's shuffled order, cut into `accumulate` x `world_size` batches that the
    processes take in turn. So a step sees the same batches whether two processes take one each or one process takes
    both, and what an image or a batch looks like depends on the seed and its place alone: a run can be continued
    from any step. Images that do not fill a last step are left out in that epoch.
    """

    num_images: int
    batch_size: int
    _: KW_ONLY
    accumulate: int = 1
    rank: int = 0
    world_size: int = 1
    seed: int = 0
    epoch: int = field(default=0, init=False)
    first_step: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        """Raise ValueError if the images do not fill one step."""
        self.images_per_step = self.batch_size * self.accumulate * self.world_size
        self.steps_per_epoch = self.num_images // self.images_per_step
        if self.steps_per_epoch == 0:
            raise ValueError(
                f"{self.num_images} training images do not fill one step of {self.images_per_step} "
                f"(--batch-size {self.batch_size} x --accumulate {self.accumulate} x {self.world_size} processes); "
                "choose a smaller --batch-size"
            )

    def start_at(self, epoch: int, first_step: int = 0) -> None:
        """Set the epoch of the next iteration, and how many of its steps are already done."""
        self.epoch, self.first_step = epoch, first_step

    def batch_number(self, micro_step: int) -> int:
        """Return which of its step's batches this process takes at the `micro_step`-th of its accumulations."""
        return micro_step * self.world_size + self.rank

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_images)
        for step in range(self.first_step, self.steps_per_epoch):
            for micro_step in range(self.accumulate):
                start = step * self.images_per_step + self.batch_number(micro_step) * self.batch_size
                yield [(self.epoch, int(index)) for index in order[start : start + self.batch_size]]

    def __len__(self) -> int:
        return (self.steps_per_epoch - self.first_step) * self.accumulate
