"""One optimiser step of the training: mixed precision, mixup, accumulation, several processes.

Everything random in a step follows from (seed, step, batch number), nothing from what happened before. So a snapshot
needs no generator states, and a continued run computes the same bits as one that was never stopped.
"""

import argparse
import contextlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from dataset.descriptions import DatasetDescription
from dataset.normalise import normalise
from dataset.sampling import TrainingBatches
from networks import CSENet
from utils.distributed import Processes
from utils.inference.crop_parser import AMP_DTYPES
from utils.losses import CSENetLoss

MIXUP_PROBABILITY, MIXUP_SHARE = 0.3, 0.3


class Optimisation:
    """A network on its device, and what changes its weights.

    Args:
        model: on the CPU, with its starting weights.
        options: those of `train.py`, all settled.
        batches: which say how many batches make a step.
        total_steps: of the whole schedule.
    """

    def __init__(
        self,
        model: CSENet,
        description: DatasetDescription,
        options: argparse.Namespace,
        processes: Processes,
        batches: TrainingBatches,
        total_steps: int,
    ) -> None:
        self.options, self.batches, self.total_steps = options, batches, total_steps
        self.device = processes.device
        if self.device.type == "cuda":
            model = model.to(self.device).to(memory_format=torch.channels_last)
            if processes.world_size > 1:
                model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
        if options.compile:
            model.compile()
        self.model = model
        self.parallel: DistributedDataParallel | None = None
        if dist.is_initialized():
            gpus = [self.device] if self.device.type == "cuda" else None
            self.parallel = DistributedDataParallel(model, device_ids=gpus)
        self.criterion = CSENetLoss(description.num_classes, has_background=description.has_background)
        self.optimizer = torch.optim.SGD(
            model.parameters(),
            lr=options.learning_rate,
            momentum=options.momentum,
            weight_decay=options.weight_decay,
            fused=True,  # one pass over a hundred million weights: on a CPU ten times as fast
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=options.amp == "fp16")

    def learning_rate(self, step: int) -> float:
        """Return a step's rate: the base rate, falling to zero over all steps by a power law."""
        return self.options.learning_rate * (1 - step / self.total_steps) ** self.options.power

    def take_step(self, step: int, batches: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Do the optimiser step number `step`; return the mean over its batches of the loss and each of its terms."""
        accumulate = self.options.accumulate
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate(step)
        self.optimizer.zero_grad(set_to_none=True)
        means: dict[str, Tensor] = {}
        for micro_step in range(accumulate):
            # Gradients travel between the processes once a step, with the last batch.
            hold = self.parallel is not None and micro_step + 1 < accumulate
            with self.parallel.no_sync() if self.parallel and hold else contextlib.nullcontext():
                total, terms = self._loss(next(batches), step, self.batches.batch_number(micro_step))
                self.scaler.scale(total / accumulate).backward()
            for name, value in {"loss": total, **terms}.items():
                share = value.detach() / accumulate
                means[name] = means[name] + share if name in means else share
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return means

    def _loss(self, batch: dict[str, Tensor], step: int, batch_number: int) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one batch of a step, and its terms."""
        options = self.options
        images = normalise(batch["image"].to(self.device, non_blocking=True))
        labels = batch["label"].to(self.device, non_blocking=True)
        random = np.random.default_rng([options.random_seed, step, batch_number])
        torch.manual_seed(int(random.integers(2**62)))  # for dropout
        order = None
        if options.mixup and random.random() < MIXUP_PROBABILITY:
            order = torch.from_numpy(random.permutation(len(images))).to(self.device)
            images = (1 - MIXUP_SHARE) * images + MIXUP_SHARE * images[order]
        if self.device.type == "cuda":
            images = images.contiguous(memory_format=torch.channels_last)
        dtype = AMP_DTYPES[options.amp]
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype is not None):
            out = (self.parallel or self.model)(images)
        total, terms = self.criterion(out, labels)
        if order is not None:
            # The targets of the mixed-in images are those of the permuted labels.
            other_total, other_terms = self.criterion(out, labels[order])
            total = (1 - MIXUP_SHARE) * total + MIXUP_SHARE * other_total
            terms = {name: (1 - MIXUP_SHARE) * terms[name] + MIXUP_SHARE * other_terms[name] for name in terms}
        return total, terms

    def state(self) -> dict[str, Any]:
        """Return what a resumable snapshot holds beside the weights."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, content: dict[str, Any]) -> None:
        """Take up the state of a resumable snapshot."""
        self.optimizer.load_state_dict(content["optimizer"])
        for parameter, state in self.optimizer.state.items():
            # The fused step goes through memory in order, which on a GPU is channels last and on a CPU is not.
            for name, value in state.items():
                state[name] = torch.empty_like(parameter).copy_(value)
        self.scaler.load_state_dict(content["scaler"])
