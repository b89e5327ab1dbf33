"""A GPU that is not there: tensors with its device, a type and a shape, but no values.

PyTorch's fake tensors refuse operations on tensors of different devices, and whatever needs a value on the host. What
would ask for a driver is replaced: `grid_sample`, the fused optimiser, autocast's questions about the GPU, and the
engine of the backward pass, whose graph is walked here.
"""

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from utils import parsing_loss

DEVICE = torch.device("cuda", 0)


class HostSynchronisationError(AssertionError):
    """The host would wait for the GPU."""


class NoWaiting(TorchDispatchMode):
    """Refuse copies for which the host waits: all from the GPU, and to it all but those that are told not to."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if func.overloadpacket in (torch.ops.aten._to_copy, torch.ops.aten.copy_):
            source = args[1] if func.overloadpacket is torch.ops.aten.copy_ else args[0]
            waits = not (kwargs.get("non_blocking") or (len(args) > 2 and args[2]))
            if source.device != result.device and (result.device.type == "cpu" or waits):
                raise HostSynchronisationError(f"a copy from {source.device} to {result.device} waits for the GPU")
        return result


@contextmanager
def fake_gpu() -> Iterator[None]:
    """Make all tensors fake, those of `DEVICE` included; raise where devices differ or a value is asked for."""
    with pytest.MonkeyPatch.context() as patch, FakeTensorMode():
        patch.setattr(F, "grid_sample", _grid_sample)
        # The one thing for which a step waits: how many entries of the loss are left to sort.
        patch.setattr(parsing_loss, "_indices", lambda mask: mask.new_zeros(7, dtype=torch.int64))
        patch.setattr(torch, "_fused_sgd_", _fused_sgd)
        patch.setattr(Tensor, "backward", _backward)
        patch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda: True)
        yield


def _backward(loss: Tensor) -> None:
    """Do what `loss.backward()` does, node by node."""
    assert loss.grad_fn is not None
    waiting: dict[Any, int] = defaultdict(int)  # for the gradients of how many of its users
    nodes, seen = [loss.grad_fn], {loss.grad_fn}
    while nodes:
        for node, _ in nodes.pop().next_functions:
            if node is not None:
                waiting[node] += 1
                if node not in seen:
                    seen.add(node)
                    nodes.append(node)
    gradients: dict[Any, dict[int, Tensor]] = defaultdict(dict)
    gradients[loss.grad_fn][0] = torch.ones_like(loss)
    ready: list[Any] = [loss.grad_fn]
    while ready:
        node = ready.pop()
        found = gradients.pop(node, {})
        results = _apply(node, [found.get(i) for i in range(max(found, default=0) + 1)]) if found else ()
        for (user, index), gradient in zip(node.next_functions, results, strict=False):
            if user is not None and gradient is not None:
                of_input = user._input_metadata[index]  # what was broadcast is added up again
                gradient = gradient.sum_to_size(of_input.shape).to(of_input.dtype)
                before = gradients[user].get(index)
                gradients[user][index] = gradient if before is None else before + gradient
        for user, _ in node.next_functions:
            if user is not None:
                waiting[user] -= 1
                if waiting[user] == 0:
                    ready.append(user)


def _apply(node: Any, gradients: list[Tensor | None]) -> tuple[Tensor | None, ...]:
    result = node(*gradients) if callable(node) else node.apply(*gradients)
    return result if isinstance(result, tuple) else (result,)


def _grid_sample(x: Tensor, grid: Tensor, **_: object) -> Tensor:
    """Give what `grid_sample` gives as far as device, type, shape and gradient go; both must have the same type."""
    assert x.dtype == grid.dtype
    return x.mean(dim=(2, 3), keepdim=True) * grid.sum(dim=-1)[:, None]


def _fused_sgd(*lists: list[Tensor], grad_scale: Tensor | None, found_inf: Tensor | None, **_: object) -> None:
    """Check where the weights, gradients and momenta are, and what a gradient scaler found."""
    scaling = [tensor for tensor in (grad_scale, found_inf) if tensor is not None]
    assert {tensor.device for tensor in sum(lists, scaling)} == {DEVICE}
