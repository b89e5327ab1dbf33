"""Folding BatchNorm into the convolutions before it: in evaluation it is one more linear map, and costs memory traffic.

    BN(w * x + b) = (w s) * x + (b - mean) s + shift        s = scale / sqrt(variance + eps)

(Jacob et al., CVPR 2018, section 3.2.)
"""

import copy
from itertools import pairwise
from typing import TypeVar, cast

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm  # of every kind, SyncBatchNorm, too
from torch.nn.utils.fusion import fuse_conv_bn_eval

Network = TypeVar("Network", bound=nn.Module)


def folded(network: Network) -> Network:
    """Return a copy of a network in evaluation mode that computes the same without BatchNorm; the original stays.

    Each BatchNorm has to stand right behind its convolution among the parts of its module. Raises ValueError for one
    that does not, and for a network in training mode, where BatchNorm depends on the batch.
    """
    if network.training:
        raise ValueError("BatchNorm can be folded in evaluation mode only: call network.eval() first")
    copied = copy.deepcopy(network)
    for module in copied.modules():
        for (conv_name, conv), (norm_name, norm) in pairwise(list(module.named_children())):
            if isinstance(conv, nn.Conv1d | nn.Conv2d) and _is_norm(norm):
                setattr(module, conv_name, fuse_conv_bn_eval(conv, cast(_BatchNorm, norm)))
                setattr(module, norm_name, nn.Identity())
    left = [name for name, module in copied.named_modules() if _is_norm(module)]
    if left:
        raise ValueError(f"{len(left)} BatchNorm layers do not follow a convolution, the first is '{left[0]}'")
    return copied


def _is_norm(module: nn.Module) -> bool:
    return isinstance(module, _BatchNorm)
