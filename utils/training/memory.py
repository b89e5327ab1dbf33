"""Normalised maps are computed again in the backward pass instead of kept for it, which saves a quarter of the memory.

BatchNorm keeps its input x for the backward pass, and what follows keeps y = act(BatchNorm(x)), which x determines. So
y is thrown away and, when the backward pass asks for it, computed once more, to the same bits: what memory-efficient
DenseNets do (Pleiss et al., 2017), without their second convolutions.
"""

import contextlib
from collections.abc import Callable, Iterator

import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
ACTIVATIONS = (nn.ReLU, nn.LeakyReLU)


class _Normalised:
    """How a map came about: BatchNorm of x in a training step, and perhaps an activation."""

    def __init__(self, norm: nn.BatchNorm1d | nn.BatchNorm2d, x: Tensor, version: int) -> None:
        self.norm, self.x, self.version = norm, x.detach(), version
        self.activation: nn.Module | None = None
        self.uses = 0
        self.again: Tensor | None = None

    def compute(self) -> Tensor:
        """Return the map; it is held until all have asked for it that had kept it."""
        if self.again is None:
            y = F.batch_norm(self.x, None, None, self.norm.weight, self.norm.bias, training=True, eps=self.norm.eps)
            self.again = y if self.activation is None else self.activation.forward(y)  # without hooks
        y = self.again
        self.uses -= 1
        if self.uses <= 0:
            self.again = None
        return y


@contextlib.contextmanager
def lean_forward(network: nn.Module) -> Iterator[None]:
    """Keep no normalised maps of the forward pass inside for its backward pass, which computes them again.

    It concerns modules that are BatchNorm, in training mode, and the activations that overwrite their results.
    """
    handles = []
    for module in network.modules():
        if type(module) in NORMS and module.training:
            handles.append(module.register_forward_hook(_note_norm))
        elif type(module) in ACTIVATIONS and module.inplace:
            handles.append(module.register_forward_pre_hook(_note_activation))
    try:
        with saved_tensors_hooks(_pack, _unpack):
            yield
    finally:
        for handle in handles:
            handle.remove()


def _note_norm(norm: nn.Module, inputs: tuple[Tensor], output: Tensor) -> None:
    output.normalised = _Normalised(norm, inputs[0], output._version)  # type: ignore[attr-defined,arg-type]


def _note_activation(activation: nn.Module, inputs: tuple[Tensor]) -> None:
    made: _Normalised | None = getattr(inputs[0], "normalised", None)
    if made is not None:
        made.activation = activation
        made.version += 1  # by overwriting it


def _pack(tensor: Tensor) -> Tensor | Callable[[], Tensor]:
    whole = tensor if tensor._base is None else tensor._base
    made: _Normalised | None = getattr(whole, "normalised", None)
    if made is None or made.version != tensor._version:  # overwritten by something else
        return tensor.detach()  # a result that kept itself, with its graph, would never be freed
    made.uses += 1
    view = tensor.size(), tensor.stride(), tensor.storage_offset()
    return lambda: made.compute().as_strided(*view)


def _unpack(kept: Tensor | Callable[[], Tensor]) -> Tensor:
    return kept if isinstance(kept, Tensor) else kept()
