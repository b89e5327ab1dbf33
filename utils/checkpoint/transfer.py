"""A trained parser as the start for other classes and another crop: what does not depend on them is taken over."""

import os
from collections.abc import Sequence

import torch

from dataset.descriptions import DatasetDescription
from dataset.files import first_few, printable
from networks import CSENet
from utils.checkpoint.classes import known_description
from utils.checkpoint.files import read_checkpoint
from utils.checkpoint.layouts import find_weights, fitting_tensors
from utils.checkpoint.loading import check_depth, fill
from utils.checkpoint.snapshots import PUBLISHED_INPUT_SIZE, read_training

_NAMES_SHOWN = 10


def start_from(model: CSENet, dataset: DatasetDescription, path: str | os.PathLike[str]) -> str:
    """Fill `model`, built for the classes of `dataset`, with all that a checkpoint has for it; return a line about it.

    A backbone fills the backbone. Of a whole network, of any classes and crop, every tensor without a dimension of
    classes is taken over. In the others (the heads' classifiers, the last layers of the distribution branches, the
    class gate and the layer that reads it) a class keeps its part of the checkpoint's class of the same name, and
    keeps its initial values where there is none. The crop decides the number of row and column bins, but no tensor.

    Checkpoints without names of classes are taken for LIP's where there are 20, else for those of `dataset` where
    the number is the same, and have no class in common with it otherwise.

    Raises CheckpointError as `load_weights` does, but for another number of classes. `model` is then unchanged.
    """
    where = f"'{os.fspath(path)}'"
    content = read_checkpoint(path)
    weights = find_weights(content, where)
    if weights.is_backbone:
        return fill(model, weights)
    check_depth(weights, model)
    trained = read_training(content, where)
    num_classes = weights.num_classes or model.num_classes  # where the final head is missing, the next lines say so
    with torch.device("meta"):
        expected = CSENet(num_classes, model.input_size, depth=model.depth).state_dict()
    tensors = fitting_tensors(weights, expected)
    source = known_description(trained.description, num_classes)
    if source is None and num_classes == dataset.num_classes:
        source = dataset
    ours, theirs = dataset.class_names, source.class_names if source else ()
    kept, new = [name for name in ours if name in theirs], [name for name in ours if name not in theirs]
    here, there = (torch.tensor([names.index(name) for name in kept], dtype=torch.long) for names in (ours, theirs))
    own, dimensions = model.state_dict(), _class_dimensions(model)
    for name, dimension in dimensions.items():
        parts = tensors[name].index_select(dimension, there)
        tensors[name] = own[name].index_copy(dimension, here, parts.to(own[name].dtype))
    model.load_state_dict(tensors, strict=False)  # files from the first years of PyTorch lack the step counters

    origin = source.name if source else "classes without names"
    if source and trained.description is None:
        origin = f"taken for {origin}"
    crop = trained.input_size or PUBLISHED_INPUT_SIZE
    if theirs == ours:
        taken = f"all {len(own)} tensors are taken over"
    else:
        taken = (
            f"{len(own) - len(dimensions)} tensors are taken over whole; in the {len(dimensions)} that hold something "
            f"for each class (heads, distribution branches, class gate) {_classes_line(kept, new)}"
        )
    return (
        f"Starting from {where} ({printable(origin)}, {num_classes} classes, crops of {crop[0]} x {crop[1]}): "
        f"{taken}{_bins_line(crop, model.input_size)}"
    )


def _class_dimensions(model: CSENet) -> dict[str, int]:
    """Return the tensors that hold something for each class, with the dimension that counts the classes."""
    with torch.device("meta"):
        larger = CSENet(model.num_classes + 1, model.input_size, depth=model.depth).state_dict()
    return {
        name: dimension
        for name, tensor in model.state_dict().items()
        for dimension, size in enumerate(tensor.shape)
        if larger[name].shape[dimension] != size
    }


def _classes_line(kept: Sequence[str], new: Sequence[str]) -> str:
    """Say which classes keep what the checkpoint has for them."""
    if not kept:
        return f"all {len(new)} classes start anew, since the checkpoint has none of these names"
    if not new:
        return f"all {len(kept)} classes keep theirs, found by their names"
    return (
        f"the classes of the same name keep theirs ({len(kept)}: {printable(first_few(kept, _NAMES_SHOWN))}) and the "
        f"others start anew ({len(new)}: {printable(first_few(new, _NAMES_SHOWN))})"
    )


def _bins_line(old: tuple[int, int], new: tuple[int, int]) -> str:
    """Say what another crop changes; nothing for the same crop."""
    if old == new:
        return ""
    before, after = (f"{height // 4} x {width // 4}" for height, width in (old, new))
    return (
        f"; crops are now {new[0]} x {new[1]}, on which only the numbers of row and column bins depend, {after} "
        f"instead of {before}"
    )
