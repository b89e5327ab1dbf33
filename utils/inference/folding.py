"""Folding BatchNorm into the convolutions before it: in evaluation it is one more linear map, and costs memory traffic.

    BN(w * x + b) = (w s) * x + (b - mean) s + shift        s = scale / sqrt(variance + eps)

(Jacob et al., CVPR 2018, section 3.2.)
"""

import copy
from collections.abc import Callable
from itertools import pairwise
from typing import Any, TypeVar, cast

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm  # of every kind, SyncBatchNorm, too
from torch.nn.utils.fusion import fuse_conv_bn_weights

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network, copied: Callable[[Tensor], Tensor] = torch.clone) -> Network:
    """Return a copy of a network in evaluation mode that computes the same without BatchNorm; the original stays.

    `copied` makes the copy of each tensor, on another device, or in another layout, perhaps.
    Each BatchNorm has to stand right behind its convolution among the parts of its module. Raises ValueError for one
    that does not, and for a network in training mode, where BatchNorm depends on the batch.
    """
    if network.training:
        raise ValueError("BatchNorm can be folded in evaluation mode only: call network.eval() first")
    # deepcopy is handed the copies, without gradients: it would not get through fake tensors.
    copies: dict[int, Any] = {id(p): nn.Parameter(copied(p.detach()), False) for p in network.parameters()}
    copies |= {id(buffer): copied(buffer.detach()) for buffer in network.buffers()}
    result = copy.deepcopy(network, copies)
    for module in result.modules():
        for (_, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv1d | nn.Conv2d) and isinstance(norm, _BatchNorm):
                mean, variance = cast(Tensor, norm.running_mean), cast(Tensor, norm.running_var)
                conv.weight, conv.bias = fuse_conv_bn_weights(
                    conv.weight, conv.bias, mean, variance, norm.eps, norm.weight, norm.bias
                )
                setattr(module, norm_name, nn.Identity())
    left = [name for name, module in result.named_modules() if isinstance(module, _BatchNorm)]
    if left:
        raise ValueError(f"{len(left)} BatchNorm layers do not follow a convolution, the first is '{left[0]}'")
    return result
