"""Networks for tests, without paying for an initialisation that is overwritten anyway."""

import contextlib
import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn

from networks import CSENet
from networks.resnet import BLOCKS

SHORT = 14
"""The depth of a backbone for tests, counted as those of ResNets are: four blocks of three layers, and two."""
SHORT_SIZE = (65, 81)
"""The training size of the short network that tests share: about the smallest that is not square."""

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


@contextlib.contextmanager
def short_backbone() -> Iterator[None]:
    """Let networks have the depth SHORT: one block a stage in the backbone."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, SHORT, (1, 1, 1, 1))
        yield


class SecondMap(nn.Module):
    """Stands in for a stage of the decoder: passes on the map so far."""

    def forward(self, _: Tensor, high: Tensor) -> Tensor:
        return high


def without_middle_stages(model: CSENet) -> CSENet:
    """Return a network, with the same tensors, that has one of each of its parts.

    Of the decoder's stages, which differ in the sizes and channels of their maps alone, it has the first and the last.
    """
    model = copy.copy(model)
    model._modules = model._modules | {"stage2": SecondMap(), "stage3": SecondMap()}
    return model
