"""3 x 3 convolutions with half of the multiplications, by Winograd's minimal filtering (Lavin and Gray, CVPR 2016).

Four neighbouring results of a filter w of three taps, of six values x, take six products instead of twelve:

    y = A^T ((G w) * (B^T x))

Filter and values are polynomials, multiplied where these are known: at 0, at NEAR and FAR on either side, at infinity.
With 2/3 and 3/2 there rounding errors are smallest, two thirds of those with the usual 1 and 2: a millionth of the
results in float32; in bf16 three times those of a convolution. (More points: Barabasz et al., ACM TOMS 2020.)

It is done along the columns of a map alone; along its rows each of the six is an ordinary convolution, of 1 x 3.
"""

import math

import torch
from torch import Tensor, nn

from modules.layers import conv2d_of_joined

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
        others = {point: [other for other in POINTS if other != point] for point in POINTS}
        # The products at NEAR times NEAR², at FAR times FAR: so no map has to be multiplied by a number alone.
        factors = (1, NEAR**2, NEAR**2, FAR, FAR)
        scales = {
            point: math.prod(point - other for other in others[point]) / factor
            for point, factor in zip(POINTS, factors, strict=True)
        }
        g = [*([point**power / scales[point] for power in range(3)] for point in POINTS), [0, 0, 1]]
        weight = conv.weight.detach()
        filters = torch.einsum("pk,ockl->polc", weight.new_tensor(g), weight)
        self.register_buffer("filters", filters[:, :, None].permute(0, 1, 4, 2, 3))  # (6, out, C, 1, 3), channels last
        # The products' shares of the bias: those of an input of ones, filtered by (1, 0, 0).
        shares = [*(math.prod(1 - other for other in others[point]) / scales[point] for point in POINTS), 0]
        bias = None if conv.bias is None else weight.new_tensor(shares)[:, None] * conv.bias.detach()
        self.register_buffer("biases", bias)  # (6, out)

    @property
    def weight(self) -> Tensor:
        """The convolution's weights (out, C, 3, 3)."""
        return self.conv.weight

    def forward(self, *maps: Tensor) -> Tensor:
        """Map one or several maps (N, C_i, H, W) to (N, out, H, W)."""
        height, d = maps[0].shape[2], self.dilation
        tiles = -(-height // (TILE * d))
        if TILE * d * tiles > MAX_WASTE * height:
            return conv2d_of_joined(maps, self.weight, self.conv.bias, (1, 1), (d, d), (d, d))
        biases = [None] * len(self.filters) if self.biases is None else self.biases
        at_once = max(1, STRIP // (TILE * d * maps[0].shape[3]))
        strips = []
        for first in range(0, tiles, at_once):
            values = (self._values(x, first, min(at_once, tiles - first)) for x in maps)
            products = [
                conv2d_of_joined(parts, weight, bias, (1, 1), (0, d), (1, d))
                for *parts, weight, bias in zip(*values, self.filters, biases, strict=True)
            ]
            strips.append(self._results(products))
        results = strips[0] if len(strips) == 1 else torch.cat(strips, dim=1)
        return results.flatten(1, 3).permute(0, 3, 1, 2)[:, :, :height]

    def _values(self, x: Tensor, first: int, tiles: int) -> list[Tensor]:
        """Return the six of B^T x for tiles from the first one on, (N, C, tiles * dilation, W) each."""
        (n, channels, height, width), d = x.shape, self.dilation
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

    def _results(self, products: list[Tensor]) -> Tensor:
        """Return A^T products, (N, tiles, 4, dilation, W, out); the products are overwritten."""
        p0, p1, p2, p3, p4, p5 = (product.unflatten(2, (-1, self.dilation)) for product in products)
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
