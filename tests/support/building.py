"""Networks for tests, without paying for an initialisation that is overwritten anyway."""

import copy
from collections.abc import Callable

import torch

from networks import CSENet

Build = Callable[[tuple[int, int]], CSENet]
"""What the fixture `network_for` gives: a network for a training size (height, width)."""


def empty_network(num_classes: int = 20, input_size: tuple[int, int] = (97, 97), *, depth: int = 101) -> CSENet:
    """Build a network in eval mode whose tensors hold anything: it is to be filled."""
    with torch.device("meta"):
        model = CSENet(num_classes, input_size, depth=depth)
    return model.to_empty(device="cpu").eval()


def trainable_copy(model: CSENet) -> CSENet:
    """Return a copy in training mode."""
    return copy.deepcopy(model).train()
