"""Loading weights from any layout people have them in, with one clear sentence where that is impossible."""

import logging
import os
from collections.abc import Mapping
from typing import Any

from networks import CSENet
from utils.checkpoint.files import CheckpointError, read_checkpoint
from utils.checkpoint.layouts import Weights, find_weights, fitting_tensors

logger = logging.getLogger(__name__)


def load_weights(
    model: CSENet, source: str | os.PathLike[str] | Mapping[str, Any], *, where: str = "the state dict"
) -> CSENet:
    """Fill `model` from a path or a state dict (which messages call `where`), and return it.

    Accepted, as PyTorch's files or as safetensors: the published layout (with or without `module.`), this project's
    snapshots and bare state dicts, and as a starting point for training the ImageNet backbones
    `resnet101-imagenet.pth` and timm's `resnet101s`; these fill the backbone and nothing else, and a logged warning
    says what stayed at its initial value. timm's were trained on RGB, so their first convolution is turned to BGR.
    (`utils.checkpoint.transfer` starts a training from weights of other classes.)

    Raises CheckpointError for everything else: unreadable files, another network, another number of classes,
    missing or unexpected tensors, other shapes, values that are not finite. `model` is then unchanged.
    """
    if isinstance(source, Mapping):
        content = source
    else:
        where, content = f"'{os.fspath(source)}'", read_checkpoint(source)
    weights = find_weights(content, where)
    if weights.num_classes not in (None, model.num_classes):
        raise CheckpointError(f"{where} has {weights.num_classes} classes, the model {model.num_classes}")
    filled = fill(model, weights)
    if weights.is_backbone:
        logger.warning("%s", filled)
    return model


def fill(model: CSENet, weights: Weights) -> str:
    """Fill `model` with weights of its own number of classes, or a backbone; return the sentence that says so.

    Raises CheckpointError where they do not fit; `model` is then unchanged.
    """
    own = model.state_dict()
    check_depth(weights, model)
    tensors = fitting_tensors(weights, own)
    model.load_state_dict(tensors, strict=False)  # the checks above are stricter, and say more
    if not weights.is_backbone:
        return f"{weights.where} filled all {len(own)} tensors"
    others = [name for name in own if weights.file_name(name) is None]
    return (
        f"{weights.where} filled the backbone ({len(tensors)} tensors); the other {len(others)} tensors keep their "
        f"initial values: {', '.join(sorted({name.partition('.')[0] for name in others}))}"
    )


def check_depth(weights: Weights, model: CSENet) -> None:
    """Say it plainly where only the backbone's depth differs, before its tensors are compared one by one."""
    if weights.depth not in (None, model.depth):
        raise CheckpointError(
            f"{weights.where} has a backbone of depth {weights.depth}, the model one of depth {model.depth}; build the "
            f"model with depth={weights.depth} (train.py: --depth {weights.depth})"
        )
