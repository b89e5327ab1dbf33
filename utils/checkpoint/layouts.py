"""The layouts that weights come in: which one a checkpoint has, and whether its tensors fit a network."""

import re
from collections.abc import Callable, Mapping
from reprlib import repr as shortened
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dataset import IGNORE_LABEL
from dataset.files import first_few, printable
from networks.resnet import BLOCKS, ResNet
from utils.checkpoint.files import CheckpointError
from utils.checkpoint.published_names import imagenet_name, published_name, strip_wrappers, timm_name

_CLASSIFIER = "final_head.classifier.conv.weight"


class Weights(NamedTuple):
    """The tensors of a checkpoint, by the names they have in it."""

    state: Mapping[str, Tensor]
    layout: str
    file_name: Callable[[str], str | None]
    """From this project's name of a tensor to the layout's; None for tensors that the layout does not have."""
    where: str
    """What messages call the checkpoint."""

    @property
    def is_backbone(self) -> bool:
        """Whether this is a backbone alone, which can start a training."""
        return self.file_name(_CLASSIFIER) is None

    @property
    def num_classes(self) -> int | None:
        """The number of classes of the final head; None for a backbone and where that tensor is missing or damaged."""
        classifier = self.state.get(self.file_name(_CLASSIFIER) or "")
        return len(classifier) or None if classifier is not None and classifier.dim() else None

    @property
    def depth(self) -> int | None:
        """The backbone's depth; None where its layers have other numbers of blocks than any backbone here."""
        blocks = {found[1] for name in self.state if (found := re.match(r"(?:backbone\.)?layer3\.(\d+)\.", name))}
        return {counts[2]: depth for depth, counts in BLOCKS.items()}.get(len(blocks))


def find_weights(content: Mapping[str, Any], where: str) -> Weights:
    """Return the weights in a checkpoint's content.

    Raises CheckpointError where it holds something else than tensors, another network's, or a description of another
    number of classes than the network has.
    """
    state = _find_state(content, where)
    if any(name.startswith(("PSPAlign.", "CDGNet.", "SPFlt", "Attention.", "cmbEdge.")) for name in state):
        weights = Weights(state, "published CSENet", published_name, where)
    elif any(name.startswith("context_alignment.") for name in state):
        weights = Weights(state, "CSENet", lambda name: name, where)
    elif "conv1.0.weight" in state:
        weights = Weights(state, "timm", timm_name, where)
    else:
        weights = Weights(state, "ImageNet", imagenet_name, where)
    if weights.is_backbone:
        _check_backbone(weights)
    if (weights.num_classes or 0) > IGNORE_LABEL:
        raise CheckpointError(
            f"{where} has {weights.num_classes} classes; class maps of 8 bits hold {IGNORE_LABEL} at most, so it is no "
            "parser of this project"
        )
    _check_description(content, weights)
    return weights


def fitting_tensors(weights: Weights, expected: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a checkpoint's tensors by this project's names, ready for a network with the state dict `expected`.

    timm's weights were trained on RGB, so their first convolution is turned to BGR. Raises CheckpointError for missing
    or unexpected tensors, other shapes or types, and values that are not finite.
    """
    names = {name: in_file for name in expected if (in_file := weights.file_name(name)) is not None}
    _check_names_and_shapes(weights, {in_file: expected[name] for name, in_file in names.items()})
    tensors = {name: weights.state[in_file] for name, in_file in names.items() if in_file in weights.state}
    broken = [names[name] for name, tensor in tensors.items() if not is_finite(tensor)]
    if broken:
        raise CheckpointError(
            f"{weights.where} holds NaN or infinite values in {len(broken)} tensors ({printable(first_few(broken, 4))})"
            "; the run that wrote it had diverged, use an earlier snapshot"
        )
    if weights.layout == "timm":
        first = "backbone.conv1.weight"
        tensors[first] = tensors[first].flip(1)  # RGB to BGR
    return tensors


def _find_state(content: Mapping[str, Any], where: str) -> Mapping[str, Tensor]:
    """Return the dict of tensors in a checkpoint, without wrappers' prefixes: the checkpoint itself, or what lies
    under "model" or "state_dict"."""
    for key in ("model", "state_dict"):
        if isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not content:
        raise CheckpointError(f"{where} holds no tensors")
    for name, value in content.items():
        if not isinstance(name, str):
            problem = f"{shortened(name)} has no name, but a key of type {type(name).__name__}"
        elif not isinstance(value, Tensor):
            problem = f"{shortened(name)} is of type {type(value).__name__}, not a tensor"
        elif not has_plain_values(value):
            problem = (
                f"{shortened(name)} is a tensor without plain values (sparse, quantised, nested or on the meta device)"
            )
        else:
            continue
        raise CheckpointError(f"{where} is not a state dict: its entry {problem}")
    try:
        return strip_wrappers(content)
    except ValueError as error:
        raise CheckpointError(f"{where} {error}") from error


def _check_backbone(weights: Weights) -> None:
    """Refuse networks that only look like the backbone: with something else around it, or another stem or block."""
    with torch.device("meta"):
        backbone = ResNet(101).state_dict()  # which the one of depth 50 is a part of
    shapes = {weights.file_name(f"backbone.{name}"): tensor.shape for name, tensor in backbone.items()}
    foreign = [
        f"{name} {tuple(tensor.shape)}"
        for name, tensor in weights.state.items()
        if shapes.get(name) != tensor.shape and not name.startswith("fc.")
    ]
    if foreign or weights.file_name("backbone.layer1.0.conv1.weight") not in weights.state:
        raise CheckpointError(
            f"{weights.where} is another network: its {len(weights.state)} tensors "
            f"({printable(first_few(foreign or list(weights.state), 4))}) are neither a CSENet's nor those of the "
            "ResNet in it (depth 50 or 101, a stem of three 3 x 3 convolutions)"
        )


def _check_description(content: Mapping[str, Any], weights: Weights) -> None:
    """Refuse a snapshot that contradicts itself: its classes would be read by wrong names, or by none."""
    description = content.get("description")
    classes = description.get("classes") if isinstance(description, Mapping) else None
    if isinstance(classes, list | tuple) and weights.num_classes not in (None, len(classes)):
        raise CheckpointError(
            f"{weights.where} contradicts itself: its network has {weights.num_classes} classes, its description names "
            f"{len(classes)}. It was changed or put together after the training; use the snapshot that train.py wrote"
        )


def _check_names_and_shapes(weights: Weights, expected: Mapping[str, Tensor]) -> None:
    """Compare a checkpoint with what its layout should hold; report everything that differs in one error."""
    state = weights.state
    # Files from the first years of PyTorch lack the BatchNorms' step counters, which nothing here uses.
    missing = [name for name in expected if name not in state and not name.endswith("num_batches_tracked")]
    unexpected = [name for name in state if name not in expected]
    if weights.is_backbone:
        unexpected = [name for name in unexpected if not name.startswith("fc.")]
    reshaped = [
        f"{name} {tuple(state[name].shape)} instead of {tuple(tensor.shape)}"
        for name, tensor in expected.items()
        if name in state and state[name].shape != tensor.shape
    ]
    retyped = [
        f"{name} {state[name].dtype} instead of {tensor.dtype}"
        for name, tensor in expected.items()
        if name in state and not _converts(state[name].dtype, tensor.dtype)
    ]
    found = {"missing": missing, "unexpected": unexpected, "of another shape": reshaped, "of another type": retyped}
    problems = [f"{len(names)} {what} ({printable(first_few(names, 4))})" for what, names in found.items() if names]
    if problems:
        raise CheckpointError(
            f"{weights.where} has the {weights.layout} layout but does not fit the model, which expects "
            f"{len(expected)} tensors: {'; '.join(problems)}"
        )


def _converts(dtype: torch.dtype, wanted: torch.dtype) -> bool:
    """Say whether numbers of a type can stand for a tensor: weights of any usual precision, counters of any width."""
    if wanted.is_floating_point:
        return dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64)
    return not (dtype.is_floating_point or dtype.is_complex or dtype == torch.bool)


def has_plain_values(tensor: Tensor) -> bool:
    """Say whether a tensor is none of PyTorch's special kinds: sparse, quantised, nested, or on the meta device."""
    return not (tensor.layout != torch.strided or tensor.is_quantized or tensor.is_nested or tensor.is_meta)


def is_finite(tensor: Tensor) -> bool:
    """Say whether all numbers of a tensor are finite, also as float32: networks here have nothing wider."""
    return bool(torch.isfinite(tensor.float()).all())
