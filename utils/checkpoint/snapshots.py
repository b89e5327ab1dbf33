"""Snapshots: this project's checkpoint files, which carry all that using or continuing a training needs."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any, NamedTuple

import torch

from dataset.descriptions import DatasetDescription
from dataset.files import printable
from dataset.writing import whole_file
from networks import CSENet
from networks.csenet import checked_size
from utils.checkpoint.files import CheckpointError, read_checkpoint
from utils.checkpoint.layouts import find_weights
from utils.checkpoint.loading import fill

PUBLISHED_INPUT_SIZE = (473, 473)


class LoadedModel(NamedTuple):
    """A network from a checkpoint, with what is known about it."""

    model: CSENet
    description: DatasetDescription | None
    """The dataset it was trained on; None for layouts that do not say."""


def write_snapshot(path: Path, content: Mapping[str, Any], *, keep_before: bool = False) -> None:
    """Write a snapshot whole or not at all: a kill at any moment leaves the old file or the new one.

    With `keep_before` the old file is kept as `snapshot_before(path)`, and a kill may leave it there alone.
    """
    with whole_file(path) as file:
        save_tensors(dict(content), file)
        if keep_before and path.exists():
            file.flush()
            os.fsync(file.fileno())  # nothing may go wrong any more
            os.replace(os.path.realpath(path), snapshot_before(path))


def save_tensors(content: Mapping[str, Any], file: IO[bytes]) -> None:
    """`torch.save` to an open file; raises the OSError of a disk that takes no more."""
    try:
        torch.save(content, file)
    except RuntimeError as error:
        # Closing its archive, PyTorch stumbles over what is missing there, and hides why it is.
        if isinstance(error.__context__, OSError):
            raise error.__context__ from None
        raise


def snapshot_before(path: str | os.PathLike[str]) -> Path:
    """Return where the snapshot is kept that was at a path before: beside it, or where its link leads to."""
    real = Path(os.path.realpath(path))
    return real.with_name(f"{real.stem}.before{real.suffix}")


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
    `input_size` overrides both. Raises CheckpointError as `load_weights` does, for a backbone alone, and for a
    snapshot whose description or size is impossible; ValueError for such an `input_size`.
    """
    where = f"'{os.fspath(path)}'"
    content = read_checkpoint(path)
    weights = find_weights(content, where)
    if weights.is_backbone:
        raise CheckpointError(f"{where} holds a backbone alone; it can start a training, but it cannot parse pictures")
    trained = read_training(content, where)
    size = trained.input_size or PUBLISHED_INPUT_SIZE if input_size is None else input_size
    # `fill` says what is wrong with weights whose number of classes or depth cannot be told.
    model = blank_network(weights.num_classes or 20, size, depth=weights.depth or 101)
    fill(model, weights)
    return LoadedModel(model.eval(), trained.description)


def blank_network(num_classes: int, input_size: tuple[int, int], *, depth: int) -> CSENet:
    """Build a network full of zeros, which costs no time: its values are about to come from a file.

    The step counters, which old files lack, stay zero.
    """
    with torch.device("meta"):
        model = CSENet(num_classes, input_size, depth=depth)
    # Not `to_empty`: with meta tensors it imports SymPy, which takes two seconds.
    zeros = {name: torch.zeros(tensor.shape, dtype=tensor.dtype) for name, tensor in model.state_dict().items()}
    model.load_state_dict(zeros, assign=True)
    return model


class Training(NamedTuple):
    """What a checkpoint says about the training it comes from; None where its layout does not say it."""

    description: DatasetDescription | None
    input_size: tuple[int, int] | None
    """(height, width) of the crop."""


def read_training(content: Mapping[str, Any], where: str) -> Training:
    """Return what a checkpoint says about its training; raise CheckpointError where that is impossible."""
    description, input_size = content.get("description"), content.get("input_size")
    try:
        return Training(
            None if description is None else DatasetDescription.from_dict(description, "its description"),
            None if input_size is None else checked_size(input_size),
        )
    except ValueError as error:
        raise CheckpointError(f"{where} is a damaged snapshot: {printable(str(error))}") from error
