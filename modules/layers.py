"""The small layers that every module shares."""

import functools
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.joined_convolution import conv2d_of_joined
from modules.winograd import filtered_conv2d_of_joined, trains_faster_filtered

NEGATIVE_SLOPE = 0.01
Make = TypeVar("Make", bound=Callable[..., Tensor])


class JoinedConv2d(nn.Conv2d):
    """A convolution of several maps, as of one that has the channels of all. Those that none of them has are zeros."""

    def forward(self, *maps: Tensor) -> Tensor:
        """Map one or several maps (N, C_i, H, W) to (N, out, H', W')."""
        if not is_traced() and trains_faster_filtered(self, maps[0]):
            return filtered_conv2d_of_joined(maps, self.weight, self.dilation[0])
        return conv2d_of_joined(maps, self.weight, self.bias, self.stride, self.padding, self.dilation)


def conv_bn_act(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Return convolution (no bias, same padding) -> BatchNorm -> LeakyReLU: (N, in, H, W) -> (N, out, H, W)."""
    conv = JoinedConv2d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(out_channels), act=leaky_relu()))


def conv_bn_act_1d(in_channels: int, out_channels: int, kernel_size: int) -> nn.Sequential:
    """Return the 1-D form of `conv_bn_act`: (N, in, L) -> (N, out, L)."""
    conv = nn.Conv1d(in_channels, out_channels, kernel_size, padding=kernel_size // 2, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm1d(out_channels), act=leaky_relu()))


def joined_conv_bn_act(layers: nn.Sequential, *maps: Tensor) -> Tensor:
    """Return layers(torch.cat(maps, dim=1)), of layers that `conv_bn_act` made, without joining the maps."""
    return cast(Tensor, layers[1:](layers[0](*maps)))


def classifier(in_channels: int, num_classes: int) -> nn.Sequential:
    """Return Dropout2d -> 1 x 1 convolution with bias: the last step of every head."""
    conv = nn.Conv2d(in_channels, num_classes, 1)
    return Classifier(OrderedDict(dropout=nn.Dropout2d(0.1), conv=conv))


class Classifier(nn.Sequential):
    """Dropout2d -> 1 x 1 convolution, where each image's weights lose the channels instead of its map.

    The result is the same, and no second map of all channels is made and kept for the backward pass.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, C, H, W) to (N, classes, H, W)."""
        dropout, conv = self[0], cast(nn.Conv2d, self[1])
        if not self.training:
            return cast(Tensor, conv(x))
        kept = dropout(conv.weight.new_ones(x.shape[0], x.shape[1], 1, 1)).flatten(1)
        weight = as_matrix(conv.weight) * kept[:, None]  # (N, classes, C)
        bias = cast(Tensor, conv.bias)
        return torch.baddbmm(bias[:, None], weight, x.flatten(2)).unflatten(2, x.shape[2:])


def as_matrix(weight: Tensor) -> Tensor:
    """Return a 1 x 1 convolution's weight (out, in, 1, 1) as (out, in), so that its gradient gets the weight's strides.

    DistributedDataParallel compares them, those of axes of length 1 as well, which depend on the layout.
    """
    is_channels_last = weight.stride(3) != 1
    return weight.permute(0, 2, 3, 1).flatten(1) if is_channels_last else weight.flatten(1)


def leaky_relu() -> nn.LeakyReLU:
    """Return the activation of everything outside the backbone; always fed by a layer that does not need
    its output again, so it may overwrite it."""
    return nn.LeakyReLU(NEGATIVE_SLOPE, inplace=True)


def made_once(make: Make) -> Make:
    """Keep what `make(*lengths, like=tensor)` returns, which depends on lengths, device and type alone.

    Making such a matrix takes a GPU some ten kernels, and a step has thirty of them, the same ones in each. The result
    must not be changed. What PyTorch compiles, exports or traces makes its own: there lengths may be symbols. So does
    another CUDA stream than the default one, which nothing tells to wait, and a CUDA graph, which is captured on one.
    """

    @functools.lru_cache(maxsize=64)
    def kept(lengths: tuple[int, ...], device: torch.device, dtype: torch.dtype) -> Tensor:
        with torch.inference_mode(False), torch.no_grad():  # a step may need it that was made for a prediction
            return make(*lengths, like=torch.empty((), device=device, dtype=dtype))

    @functools.wraps(make)
    def get(*lengths: int, like: Tensor) -> Tensor:
        is_plain = type(like) in (Tensor, nn.Parameter) and not is_traced()
        if not is_plain or (like.is_cuda and _on_other_stream(like.device)):
            return make(*lengths, like=like)
        matrix = kept(lengths, like.device, like.dtype)
        if type(matrix) is not Tensor:  # a fake one: under FakeTensorMode, although `like` is a real one
            kept.cache_clear()
        return matrix

    return cast(Make, get)


def is_traced() -> bool:
    """Return whether PyTorch compiles, exports or traces: it sees each operation once, and lengths may be symbols."""
    return torch.compiler.is_compiling() or torch.jit.is_tracing()


def _on_other_stream(device: torch.device) -> bool:
    return torch.cuda.current_stream(device) != torch.cuda.default_stream(device)


@made_once
def resize_matrix(small: int, large: int, /, *, like: Tensor) -> Tensor:
    """Return the matrix (large, small) by which `resize` multiplies along an axis, as float32 at least.

    Row y holds the weights with which the small positions make the large position y: at most two, linear in the
    distance. As a product the resize of a strip has an efficient gradient on GPUs, the same in every run.
    """
    dtype = torch.promote_types(like.dtype, torch.float32)
    position = torch.arange(large, device=like.device, dtype=dtype)[:, None] * ((small - 1) / intervals(large))
    return (1 - (position - torch.arange(small, device=like.device)).abs()).clamp(min=0)


def intervals(length: int) -> int | Tensor:
    """Return how many steps there are from the first of some positions to the last: length - 1, but 1 for a single one.

    While PyTorch traces, lengths are tensors, and Python's `max` would decide once for maps of all sizes.
    """
    return torch.as_tensor(length - 1).clamp(min=1) if torch.jit.is_tracing() else max(length - 1, 1)


def resize(x: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Resize a map (N, C, H, W) to `size` = (height, width), bilinear with aligned corners."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=True)
