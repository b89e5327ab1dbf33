"""Weights in every layout, each tensor with a number of its own, that take a few bytes."""

import zlib
from collections.abc import Callable

import torch
import torchvision
from torch import Tensor

from networks import CSENet
from tests.golden.recorded import published_shapes
from utils.checkpoint import to_published

State = dict[str, Tensor]

TIMM_STEM = {
    "conv1": "conv1.0",
    "bn1": "conv1.1",
    "conv2": "conv1.3",
    "bn2": "conv1.4",
    "conv3": "conv1.6",
    "bn3": "bn1",
}


def mark(published_name: str) -> float:
    """Return a number of its own for a tensor, so that it can be recognised after loading."""
    return (zlib.crc32(published_name.encode()) % 100_000) / 1000


def constant(value: float, shape: tuple[int, ...]) -> Tensor:
    """Return a tensor that holds one value throughout and takes a few bytes, in a file too."""
    return torch.full((1,), value).expand(shape) if shape else torch.tensor(int(value))


def published(prefix: str = "", num_classes: int = 20) -> State:
    shapes = published_shapes(num_classes)
    return {prefix + name: constant(mark(name), shape) for name, shape in shapes.items()}


def own(model: CSENet) -> State:
    return {
        name: constant(mark(theirs), tuple(tensor.shape))
        for (name, tensor), theirs in zip(model.state_dict().items(), to_published(model.state_dict()), strict=True)
    }


def imagenet() -> State:
    backbone = {name: tensor for name, tensor in published().items() if name.startswith(("conv", "bn", "layer"))}
    return {**backbone, "fc.weight": torch.zeros(1000, 2048), "fc.bias": torch.zeros(1000)}


def timm() -> State:
    state = {}
    for name, tensor in imagenet().items():
        module, _, leaf = name.rpartition(".")
        state[f"{TIMM_STEM.get(module, module)}.{leaf}"] = tensor
    state["conv1.0.weight"] = torch.tensor([1.0, 2.0, 3.0])[None, :, None, None].expand(64, 3, 3, 3)
    return state


def others(network: str) -> State:
    """Return the weights of one of torchvision's networks, their shapes without their values."""
    make = getattr(torchvision.models, network, None) or getattr(torchvision.models.segmentation, network)
    with torch.device("meta"):
        model = make(weights=None, **({"weights_backbone": None} if network.startswith("deeplab") else {}))
    return {name: constant(1.0, tuple(tensor.shape)) for name, tensor in model.state_dict().items()}


def schp() -> State:
    """Return weights of the predecessors CE2P and SCHP: this backbone, with other things around it."""
    around = {"context_encoding.stages.0.1.weight": (512, 2048, 1, 1), "decoder.conv4.bias": (20,)}
    backbone = {f"module.{name}": tensor for name, tensor in imagenet().items() if not name.startswith("fc.")}
    return backbone | {f"module.{name}": constant(1.0, shape) for name, shape in around.items()}


def deep_resnet18() -> State:
    """Return weights of a ResNet of basic blocks with the stem of this backbone."""
    return others("resnet18") | {name: t for name, t in imagenet().items() if name.startswith(("conv", "bn"))}


def timm_with(name: str, *shape: int) -> State:
    return timm() | {name: constant(1.0, shape)}


PLAIN_RESNET = (
    "conv1.weight (64, 3, 7, 7), layer1.0.conv1.weight (64, 64, 1, 1), layer1.0.downsample.0.weight (256, 64, 1, 1)"
)
BASIC_BLOCKS = "layer1.0.conv1.weight (64, 64, 3, 3), layer1.1.conv1.weight (64, 64, 3, 3)"
OTHER_NETWORKS: dict[str, Callable[[], tuple[State, str]]] = {
    "schp": lambda: (schp(), "context_encoding.stages.0.1.weight (512, 2048, 1, 1), decoder.conv4.bias (20,)"),
    "resnet50": lambda: (others("resnet50"), PLAIN_RESNET),
    "resnet101": lambda: (others("resnet101"), PLAIN_RESNET),
    "timm's resnet101c": lambda: (timm_with("conv1.0.weight", 32, 3, 3, 3), "conv1.0.weight (32, 3, 3, 3)"),
    "timm's seresnet": lambda: (timm_with("layer1.0.se.fc.weight", 9), "layer1.0.se.fc.weight (9,)"),
    "resnet152s": lambda: (timm_with("layer3.35.bn1.bias", 256), "layer3.35.bn1.bias (256,)"),
    "resnet18": lambda: (others("resnet18"), "conv1.weight (64, 3, 7, 7), " + BASIC_BLOCKS),
    "resnet18 with a deep stem": lambda: (deep_resnet18(), BASIC_BLOCKS),
    "deeplab": lambda: (
        others("deeplabv3_resnet101"),
        "backbone.conv1.weight (64, 3, 7, 7), backbone.bn1.weight (64,)",
    ),
    "vgg": lambda: (others("vgg11"), "features.0.weight (64, 3, 3, 3), features.0.bias (64,)"),
    "a linear layer": lambda: ({"fc.weight": torch.ones(3, 2)}, "fc.weight"),
}
"""Weights of networks that look like this one's backbone, and the first tensors that tell."""
