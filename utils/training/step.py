"""One optimiser step of the training: mixed precision, mixup, accumulation, several processes.

Everything random in a step follows from (seed, step, batch number), nothing from what happened before. So a snapshot
needs no generator states, and a continued run computes the same bits as one that was never stopped.
"""

import contextlib
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from dataset.normalise import normalise
from utils.device import AMP_DTYPES
from utils.training.memory import lean_forward
from utils.training.state import TrainingState

MIXUP_PROBABILITY, MIXUP_SHARE = 0.3, 0.3


def take_step(state: TrainingState, batches: Iterator[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Do the next optimiser step; return the mean over its batches of the loss and each of its terms."""
    accumulate = state.config.accumulate
    for group in state.optimizer.param_groups:
        group["lr"] = state.learning_rate(state.step)
    state.optimizer.zero_grad(set_to_none=True)
    means: dict[str, Tensor] = {}
    for micro_step in range(accumulate):
        # Gradients travel between the processes once a step, with the last batch.
        parallel = state.network if isinstance(state.network, DistributedDataParallel) else None
        with parallel.no_sync() if parallel and micro_step + 1 < accumulate else contextlib.nullcontext():
            total, terms = _batch_loss(state, next(batches), state.batches.batch_number(micro_step))
            state.scaler.scale(total / accumulate).backward()
        for name, value in {"loss": total, **terms}.items():
            share = value.detach() / accumulate
            means[name] = means[name] + share if name in means else share
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.step += 1
    return means


def _batch_loss(state: TrainingState, batch: dict[str, Tensor], batch_number: int) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of one batch of a step, and its terms."""
    config, device = state.config, state.device
    images = normalise(batch["image"].to(device, non_blocking=True))
    labels = batch["label"].to(device, non_blocking=True)
    random = np.random.default_rng([config.random_seed, state.step, batch_number])
    torch.manual_seed(int(random.integers(2**62)))  # for dropout
    order = None
    if config.mixup and random.random() < MIXUP_PROBABILITY:
        order = torch.from_numpy(random.permutation(len(images))).to(device, non_blocking=True)
        images = (1 - MIXUP_SHARE) * images + MIXUP_SHARE * images[order]
    images = images.contiguous(memory_format=state.layout)
    dtype = AMP_DTYPES[config.amp]
    # GPUs have the memory, and compiled blocks decide themselves what to keep.
    lean = device.type == "cpu" and not config.compile
    with (
        torch.autocast(device.type, dtype=dtype, enabled=dtype is not None),
        lean_forward(state.network) if lean else contextlib.nullcontext(),
    ):
        out = state.network(images)
    total, terms = state.criterion(out, labels)
    if order is not None:
        # The targets of the mixed-in images are those of the permuted labels.
        other_total, other_terms = state.criterion(out, labels[order])
        total = (1 - MIXUP_SHARE) * total + MIXUP_SHARE * other_total
        terms = {name: (1 - MIXUP_SHARE) * terms[name] + MIXUP_SHARE * other_terms[name] for name in terms}
    return total, terms
