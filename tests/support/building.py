"""Networks for tests, without paying for an initialisation that is overwritten anyway."""

import contextlib
import copy
from collections.abc import Callable, Iterator, Mapping

import pytest
import torch
from torch import Tensor

from networks import CSENet
from networks.resnet import BLOCKS
from utils.checkpoint import load_weights

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
def short_network(published_state: Mapping[str, Tensor]) -> Iterator[CSENet]:
    """Give all of CSENet but for its depth: the recorded weights behind a backbone with one block a stage."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(BLOCKS, 14, (1, 1, 1, 1))
        later = tuple(f"layer{stage}.{block}." for stage in (1, 2, 3, 4) for block in range(1, 23))
        state = {name: tensor for name, tensor in published_state.items() if not name.startswith(later)}
        yield load_weights(empty_network(depth=14), state)
