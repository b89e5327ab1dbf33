"""Snapshots: this project's checkpoint files, which carry all that using or continuing a training needs."""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dataset.descriptions import DatasetDescription
from networks import CSENet
from networks.resnet import BLOCKS
from utils.checkpoint import CheckpointError, load_weights, read_checkpoint
from utils.published_names import from_published, strip_wrappers

PUBLISHED_INPUT_SIZE = (473, 473)


class LoadedModel(NamedTuple):
    """A network from a checkpoint, with what is known about it."""

    model: CSENet
    description: DatasetDescription | None
    """The dataset it was trained on; None for layouts that do not say."""
    info: dict[str, Any]
    """What else a snapshot carries: step, epochs, mean_iou, options; empty for other layouts."""


def write_snapshot(path: Path, content: Mapping[str, Any]) -> None:
    """Write a snapshot so that a kill at any moment leaves the old file or the new one, never half of one.

    If it cannot be written, no part of it is left either.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    try:
        with partial.open("wb") as file:
            torch.save(dict(content), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def snapshot_content(model: CSENet, description: DatasetDescription, **info: Any) -> dict[str, Any]:
    """Return what a snapshot holds: the weights and what is needed to build the network and read its classes."""
    return {
        "model": model.state_dict(),
        "description": description.to_dict(),
        "input_size": list(model.input_size),
        "depth": model.depth,
        **info,
    }


def load_model(path: str | os.PathLike[str], *, input_size: tuple[int, int] | None = None) -> LoadedModel:
    """Build the network that a checkpoint fits, on the CPU and in evaluation mode, and fill it.

    The number of classes and the backbone's depth are read off the tensors; the training size (height, width), which
    is part of the weights' meaning, off a snapshot. Other layouts do not carry it and are taken for 473 x 473;
    `input_size` overrides both. Raises CheckpointError as `load_weights` does, and for a backbone alone.
    """
    content = read_checkpoint(path)
    num_classes, depth = _read_architecture(content, f"'{path}'")
    is_snapshot = "description" in content
    size = input_size or (tuple(content["input_size"]) if is_snapshot else PUBLISHED_INPUT_SIZE)
    description = DatasetDescription.from_dict(content["description"], str(path)) if is_snapshot else None
    with torch.device("meta"):  # no time spent on initial values that are about to be replaced
        model = CSENet(num_classes, size, depth=depth)
    model.to_empty(device="cpu")
    for buffer in model.buffers():  # the step counters, which old files lack
        buffer.zero_()
    load_weights(model, content, where=f"'{path}'")
    info = {key: value for key, value in content.items() if key not in ("model", "optimizer", "scaler")}
    return LoadedModel(model.eval(), description, info if is_snapshot else {})


def _read_architecture(content: Mapping[str, Any], where: str) -> tuple[int, int]:
    """Return the number of classes and the backbone's depth; (20, 101) where `load_weights` shall say what is wrong."""
    state = strip_wrappers(content.get("model", content.get("state_dict", content)))
    names: dict[str, Tensor] = {}
    for name, tensor in state.items():
        try:
            names |= {name: tensor} if name.startswith("backbone.") else from_published({name: tensor})
        except ValueError:
            names[name] = tensor
    if any(name.startswith("backbone.") for name in names) and "final_head.classifier.conv.weight" not in names:
        raise CheckpointError(f"{where} holds a backbone alone; it can start a training, but it cannot parse pictures")
    classifier = names.get("final_head.classifier.conv.weight")
    blocks = {int(found[1]) for name in names if (found := re.match(r"backbone\.layer3\.(\d+)\.", name))}
    depths = {counts[2]: depth for depth, counts in BLOCKS.items()}
    return (20 if classifier is None else classifier.shape[0]), depths.get(len(blocks), 101)
