"""Which snapshot a training goes on from, and whether it is one: damaged ones are passed over for the one before."""

import math
from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import torch
from torch import Tensor

from dataset.files import printable, show
from utils.checkpoint.files import CheckpointError, read_checkpoint
from utils.checkpoint.layouts import find_weights, has_plain_values, is_finite
from utils.checkpoint.snapshots import read_training, snapshot_before
from utils.training.config import TrainConfig
from utils.training.folder import RunFolder

LEAST = {"step": 0, "finished_epochs": 0, "steps_per_epoch": 1, "images_per_step": 1}
"""The counters of a snapshot, and the least that each can be."""


def find_snapshot(config: TrainConfig, folder: RunFolder) -> Path | None:
    """Return the snapshot to go on from, in the main process; None where a new run begins.

    Processes that torchrun has started again after a crash go on from the Last that they have written, whatever
    --resume said at their first start. Raises CheckpointError where no snapshot can be used.
    """
    last = folder.snapshot("Last")
    has_last = last.exists() or snapshot_before(last).exists()
    if has_last and (config.resume == "auto" or folder.is_own):
        return sound_snapshot(last)
    if config.resume not in (None, "auto"):
        return sound_snapshot(Path(config.resume))
    if config.resume == "auto" and folder.snapshot("Best").exists():
        show(
            f"There is no {last.name} in {folder.path} to continue from, only {folder.snapshot('Best').name}: this is "
            "a new run."
        )
    return None


def sound_snapshot(path: Path) -> Path:
    """Return the path of a snapshot or, where it is damaged or gone, of the one before it, and say so.

    Raises CheckpointError where neither can be used.
    """
    before = snapshot_before(path)
    try:
        check_snapshot(read_checkpoint(path), f"'{path}'")
        return path
    except CheckpointError as error:
        if not before.exists():
            raise
        problem = error
    try:
        check_snapshot(read_checkpoint(before), f"'{before}'")
    except CheckpointError as error:
        raise CheckpointError(f"{problem}. Nor can the one before it be used: {error}") from error
    show(f"{problem}. The one before it is used: {before}")
    return before


def check_snapshot(content: Mapping[str, Any], where: str) -> None:
    """Raise CheckpointError for what cannot be, or has not all of, the state of a training; `where` is its name."""
    if "step" not in content or "optimizer" not in content:
        raise CheckpointError(
            f"{where} holds a network alone and cannot be resumed; use the ..._epoch_Last.pth of its run, or start a "
            "new run from it with --restore-from"
        )
    trained = read_training(content, where)
    if trained.description is None or trained.input_size is None:
        raise _damaged(where, f"it lacks its {'description' if trained.description is None else 'input_size'}")
    for name, least in LEAST.items():
        value = content.get(name)
        if type(value) is not int or value < least:
            raise _damaged(where, f"its {name} is {shortened(value)}")
    step, epochs, per_epoch = (content[name] for name in ("step", "finished_epochs", "steps_per_epoch"))
    if not epochs * per_epoch <= step <= (epochs + 1) * per_epoch:
        raise _damaged(where, f"it has {step} steps and {epochs} finished epochs of {per_epoch}")
    best = content.get("best_mean_iou")
    if not isinstance(best, int | float) or not -1 <= best <= 100:
        raise _damaged(where, f"its best_mean_iou is {shortened(best)}")
    tensors = dict(find_weights(content, where).state)
    tensors |= {f"the momentum {index}": tensor for index, tensor in momentum_buffers(content, where).items()}
    for name, tensor in tensors.items():
        is_plain = isinstance(tensor, Tensor) and has_plain_values(tensor) and not tensor.is_complex()
        if not (is_plain and is_finite(tensor)):
            raise _damaged(where, f"{printable(name)} is no tensor of finite numbers")
    _check_scaler(content.get("scaler"), where)


def momentum_buffers(content: Mapping[str, Any], where: str) -> dict[int, Any]:
    """Return the momentum of each parameter, by its number; raise CheckpointError where there is none to find."""
    optimizer = content["optimizer"]
    state = optimizer.get("state") if isinstance(optimizer, Mapping) else None
    if not isinstance(state, Mapping) or not all(
        type(index) is int and isinstance(value, Mapping) for index, value in state.items()
    ):
        raise _damaged(where, "its optimizer is none of this project's")
    return {index: value["momentum_buffer"] for index, value in state.items() if "momentum_buffer" in value}


def _check_scaler(scaler: Any, where: str) -> None:
    """The state of a GradScaler; it is empty where the training is not in float16."""
    if not isinstance(scaler, Mapping) or (scaler and scaler.keys() != torch.amp.GradScaler("cpu").state_dict().keys()):
        raise _damaged(where, f"its scaler is {shortened(scaler)}")
    for name, value in scaler.items():
        if type(value) not in (int, float) or not math.isfinite(value) or value < 0 or (name == "scale" and not value):
            raise _damaged(where, f"its scaler's {shortened(name)} is {shortened(value)}")


def _damaged(where: str, reason: str) -> CheckpointError:
    return CheckpointError(f"{where} is a damaged snapshot: {reason}")
