"""3 x 3 convolutions with half of the multiplications, by Winograd's minimal filtering (Lavin and Gray, CVPR 2016).

Four neighbouring results of a filter w of three taps, of six values x, take six products instead of twelve:

    y = A^T ((G w) * (B^T x))

Filter and values are polynomials, multiplied where these are known: at 0, at NEAR and FAR on either side, at infinity.
With 2/3 and 3/2 there rounding errors are smallest, two thirds of those with the usual 1 and 2: a millionth of the
results in float32; in bf16 three times those of a convolution. (More points: Barabasz et al., ACM TOMS 2020.)

It is done along the columns of a map alone; along its rows each of the six is an ordinary convolution, of 1 x 3.

The gradient of the input is such a convolution, too. That of the weights takes as many products of values and upstream
gradient, each known at the same places: G^T ((B^T x) * (A dy)).
"""

import functools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.grad import conv2d_weight

from modules.joined_convolution import conv2d_of_joined

TILE = 4
"""How many results of a column are computed together."""
NEAR, FAR = 2 / 3, 3 / 2
POINTS = (0.0, NEAR, -NEAR, FAR, -FAR)
MIN_CHANNELS = 128
"""With fewer, making the six values and adding the products takes longer than is saved."""
MAX_WASTE = 1.3
"""Maps whose tiles have more than so many times their rows are convolved as they are."""
STRIP = 2**14
"""Larger maps are done in strips of about so many pixels, which needs less memory and as much time."""
MIN_PIXELS = 2**12
"""A training step of fewer loses with the filters, which it has to make each time, what the convolutions gain."""

_OTHERS = {point: [other for other in POINTS if other != point] for point in POINTS}
# The products at NEAR times NEAR², at FAR times FAR: so no map has to be multiplied by a number alone.
_FACTORS = (1, NEAR**2, NEAR**2, FAR, FAR)
_SCALES = {
    point: math.prod(point - other for other in _OTHERS[point]) / factor
    for point, factor in zip(POINTS, _FACTORS, strict=True)
}
_G = [*([point**power / _SCALES[point] for power in range(3)] for point in POINTS), [0, 0, 1]]


def use_winograd(network: nn.Module) -> None:
    """Replace the convolutions of a network that is to predict on a CPU, where that makes them faster."""
    for module in list(network.modules()):
        for name, conv in list(module.named_children()):
            if isinstance(conv, nn.Conv2d) and _is_faster(conv):
                setattr(module, name, WinogradConv2d(conv))


def _is_faster(conv: nn.Conv2d) -> bool:
    is_plain = (
        conv.kernel_size == (3, 3) and conv.stride == (1, 1) and conv.groups == 1 and conv.padding_mode == "zeros"
    )
    keeps_size = conv.padding == conv.dilation and conv.dilation[0] == conv.dilation[1]
    return is_plain and keeps_size and min(conv.in_channels, conv.out_channels) >= MIN_CHANNELS


class WinogradConv2d(nn.Module):
    """Does, without gradients, what a 3 x 3 convolution does that keeps the size; of several maps, as `JoinedConv2d`.

    It shares the convolution's weights, which small maps need, and keeps G w beside them, twice as much.
    """

    filters: Tensor
    biases: Tensor | None

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.conv, self.dilation = conv, conv.dilation[0]
        weight = conv.weight.detach()
        self.register_buffer("filters", _filters(weight))
        # The products' shares of the bias: those of an input of ones, filtered by (1, 0, 0).
        shares = [*(math.prod(1 - other for other in _OTHERS[point]) / _SCALES[point] for point in POINTS), 0]
        bias = None if conv.bias is None else weight.new_tensor(shares)[:, None] * conv.bias.detach()
        self.register_buffer("biases", bias)  # (6, out)

    @property
    def weight(self) -> Tensor:
        """The convolution's weights (out, C, 3, 3)."""
        return self.conv.weight

    def forward(self, *maps: Tensor) -> Tensor:
        """Map one or several maps (N, C_i, H, W) to (N, out, H, W)."""
        d = self.dilation
        if _wastes(maps[0], d):
            return conv2d_of_joined(maps, self.weight, self.conv.bias, (1, 1), (d, d), (d, d))
        return _convolved(maps, self.filters, self.biases, d)


def trains_faster_filtered(conv: nn.Conv2d, x: Tensor) -> bool:
    """Return whether a training step is faster where this convolution of x is filtered, and so are its gradients.

    That is on a CPU, in float32 and with the channels last, for large maps.
    """
    n, _, height, width = x.shape
    is_step = conv.training and torch.is_grad_enabled() and not torch.is_autocast_enabled("cpu")
    is_plain = x.device.type == "cpu" and conv.weight.dtype == torch.float32 and conv.bias is None
    fits = conv.weight.is_contiguous(memory_format=torch.channels_last) and n * height * width >= MIN_PIXELS
    return is_step and is_plain and fits and _is_faster(conv) and not _wastes(x, conv.dilation[0])


def filtered_conv2d_of_joined(maps: Sequence[Tensor], weight: Tensor, dilation: int) -> Tensor:
    """Return what `conv2d_of_joined` does, by `filtered_conv2d`."""
    channels = [x.shape[1] for x in maps]
    weights = weight[:, : sum(channels)].split(channels, dim=1)
    return functools.reduce(torch.add, (filtered_conv2d(x, w, dilation) for x, w in zip(maps, weights, strict=True)))


def filtered_conv2d(x: Tensor, weight: Tensor, dilation: int) -> Tensor:
    """Return conv2d(x, weight, padding=dilation, dilation=dilation), with gradients that are filtered, too.

    x: (N, C, H, W). weight: (out, C, 3, 3). Returns (N, out, H, W), with the channels last.
    """
    result: Tensor = _FilteredConv2d.apply(x, weight, dilation)
    return result


class _FilteredConv2d(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, dilation: int) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.dilation = dilation
        return _convolved([x], _filters(weight), None, dilation)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        of_x = of_weight = None
        if ctx.needs_input_grad[0]:
            of_x = _convolved([upstream], _filters(weight.flip(2, 3).transpose(0, 1)), None, ctx.dilation)
        if ctx.needs_input_grad[1]:
            of_weight = _gradient_of_weight(x, weight, upstream, ctx.dilation)
        return of_x, of_weight, None


def _gradient_of_weight(x: Tensor, weight: Tensor, upstream: Tensor, dilation: int) -> Tensor:
    shape, d = (*weight.shape[:2], 1, 3), dilation
    of_filters = weight.new_zeros(len(_G), *shape)
    for first, tiles in _strips(x, d):
        pairs = zip(_values(x, first, tiles, d), _shares(upstream, first, tiles, d), strict=True)
        for of_filter, (value, share) in zip(of_filters, pairs, strict=True):
            of_filter += conv2d_weight(value, shape, share, 1, (0, d), (1, d))
    gradient = torch.einsum("pk,pocl->ockl", weight.new_tensor(_G), of_filters.squeeze(3))
    return torch.empty_like(weight).copy_(gradient)  # DistributedDataParallel compares strides


def _filters(weight: Tensor) -> Tensor:
    """Return G w of weights (out, C, 3, 3): (6, out, C, 1, 3), with the channels last."""
    filters = torch.einsum("pk,ockl->polc", weight.new_tensor(_G), weight)
    return filters[:, :, None].permute(0, 1, 4, 2, 3)


def _wastes(x: Tensor, dilation: int) -> bool:
    height = x.shape[2]
    return TILE * dilation * -(-height // (TILE * dilation)) > MAX_WASTE * height


def _strips(x: Tensor, dilation: int) -> Iterator[tuple[int, int]]:
    """Yield the first tile of each strip of a map, and how many tiles it has."""
    n, _, height, width = x.shape
    tiles, at_once = -(-height // (TILE * dilation)), max(1, STRIP // (TILE * dilation * width * n))
    for first in range(0, tiles, at_once):
        yield first, min(at_once, tiles - first)


def _convolved(maps: Sequence[Tensor], filters: Tensor, biases: Tensor | None, dilation: int) -> Tensor:
    """Return what convolving maps (N, C_i, H, W) gives: (N, out, H, W), with the channels last."""
    d = dilation
    of_products = [None] * len(filters) if biases is None else biases
    strips = []
    for first, tiles in _strips(maps[0], d):
        values = (_values(x, first, tiles, d) for x in maps)
        products = [
            conv2d_of_joined(parts, weight, bias, (1, 1), (0, d), (1, d))
            for *parts, weight, bias in zip(*values, filters, of_products, strict=True)
        ]
        strips.append(_results(products, d))
    results = strips[0] if len(strips) == 1 else torch.cat(strips, dim=1)
    return results.flatten(1, 3)[:, : maps[0].shape[2]].contiguous().permute(0, 3, 1, 2)


def _values(x: Tensor, first: int, tiles: int, dilation: int) -> list[Tensor]:
    """Return the six of B^T x for tiles from the first one on, (N, C, tiles * dilation, W) each."""
    (n, channels, height, width), d = x.shape, dilation
    begin, length = (TILE * first - 1) * d, (TILE * (tiles + 1) + 1) * d
    above, end = max(0, -begin), min(length, height - begin)
    padded = x.new_empty((n, length, width, channels)).permute(0, 3, 1, 2)
    padded[:, :, :above] = 0
    padded[:, :, above:end] = x[:, :, begin + above : begin + end]
    padded[:, :, end:] = 0
    rows = (padded[:, :, k * d : (k + TILE * tiles) * d].unflatten(2, (tiles, TILE * d)) for k in range(6))
    x0, x1, x2, x3, x4, x5 = (row[:, :, :, :d] for row in rows)
    even, odd = torch.sub(x4, x2, alpha=FAR**2), torch.sub(x3, x1, alpha=FAR**2)
    far_even, far_odd = torch.sub(x4, x2, alpha=NEAR**2), torch.sub(x3, x1, alpha=NEAR**2)
    values = [
        torch.sub(x4, x2, alpha=NEAR**2 + FAR**2).add_(x0, alpha=NEAR**2 * FAR**2),
        torch.add(even, odd, alpha=NEAR),
        even.sub_(odd, alpha=NEAR),
        torch.add(far_even, far_odd, alpha=FAR),
        far_even.sub_(far_odd, alpha=FAR),
        torch.sub(x5, x3, alpha=NEAR**2 + FAR**2).add_(x1, alpha=NEAR**2 * FAR**2),
    ]
    return [value.flatten(2, 3) for value in values]


def _results(products: list[Tensor], dilation: int) -> Tensor:
    """Return A^T products, (N, tiles, 4, dilation, W, out); the products are overwritten."""
    p0, p1, p2, p3, p4, p5 = (product.unflatten(2, (-1, dilation)) for product in products)
    n, out, tiles, d, width = p0.shape
    results = p0.new_empty((n, tiles, TILE, d, width, out))
    y0, y1, y2, y3 = results.permute(2, 0, 5, 1, 3, 4)
    near, far = p1 + p2, p3 + p4
    near_odd, far_odd = p1.sub_(p2), p3.sub_(p4)
    torch.add(p0.add_(near, alpha=NEAR**-2), far, alpha=1 / FAR, out=y0)
    torch.add(far_odd, near_odd, alpha=1 / NEAR, out=y1)
    torch.add(near, far, alpha=FAR, out=y2)
    torch.add(p5.add_(near_odd, alpha=NEAR), far_odd, alpha=FAR**2, out=y3)
    return results


def _shares(upstream: Tensor, first: int, tiles: int, dilation: int) -> list[Tensor]:
    """Return the six of A dy for tiles from the first one on, (N, out, tiles * dilation, W) each."""
    (n, out, _, width), d = upstream.shape, dilation
    begin, length = TILE * first * d, TILE * tiles * d
    rows = upstream[:, :, begin : begin + length]
    if rows.shape[2] < length:
        padded = upstream.new_zeros((n, length, width, out)).permute(0, 3, 1, 2)
        padded[:, :, : rows.shape[2]] = rows
        rows = padded
    y0, y1, y2, y3 = rows.unflatten(2, (tiles, TILE, d)).unbind(dim=3)
    even, odd = torch.add(y2, y0, alpha=NEAR**-2), torch.mul(y1, 1 / NEAR).add_(y3, alpha=NEAR)
    far_even, far_odd = torch.mul(y2, FAR).add_(y0, alpha=1 / FAR), torch.add(y1, y3, alpha=FAR**2)
    shares = [y0, even + odd, even.sub_(odd), far_even + far_odd, far_even.sub_(far_odd), y3]
    return [share.flatten(2, 3) for share in shares]
