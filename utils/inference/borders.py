"""From the logits of a crop to what is seen at the picture's own size: classes, alpha, margins.

The logits are those of `fused_logits`, at the size of the crop, and are interpolated bilinearly to the pixels of the
picture. (The network's own are a quarter of that size. Where a side of the crop is 4 n + 1, as 473 is, interpolating
these directly is the same: all of their nodes are nodes of the crop.)

Between four nodes of one class, no other class can win: each interpolated logit is the same weighted mean of four, and
the weights are not negative. So a CPU interpolates only between nodes of several classes, which are few.
"""

from collections.abc import Callable, Collection
from functools import partial
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.geometry import fit_positions

CPU_PIECE = 2**18
"""Logits interpolated at once on a CPU: 1 MB, which stays in its cache."""
GPU_PIECE = 2**25
"""And on other devices: 128 MB."""
ROWS = 64
"""Rows of a picture in such a piece, at most: what is interpolated along a row of the crop serves several of them."""

FADE = 2
"""Pixels of the crop over which alpha goes from the softmax, where a border runs through, to all or nothing."""

Reduce = Callable[[Tensor], Tensor]
"""What becomes of interpolated logits (K, R, C): one value (R, C) for each pixel."""


class Axis(NamedTuple):
    """Where a picture's rows, or columns, lie between a crop's: `fraction` of the way from `low` to `low + 1`.

    low: (n,) int64, ascending; fraction: (n,) float32 in 0..1. Beyond the crop's edge, its edge is continued. Both on
    the CPU.
    """

    low: Tensor
    fraction: Tensor

    def part(self, chosen: slice | Tensor) -> "Axis":
        return Axis(self.low[chosen], self.fraction[chosen])

    def to(self, device: torch.device) -> "Axis":
        return Axis(self.low.to(device, non_blocking=True), self.fraction.to(device, non_blocking=True))


def picture_axes(size: tuple[int, int], logits: Tensor) -> tuple[Axis, Axis]:
    """Return where the rows and columns of a picture (H, W) lie in the logits (K, h, w) of the crop that shows it."""
    input_size = (logits.shape[1], logits.shape[2])
    axes = []
    for positions, nodes in zip(fit_positions(size, input_size), input_size, strict=True):
        inside = torch.from_numpy(positions).clamp(0, nodes - 1)
        low = inside.floor().clamp(max=nodes - 2)
        axes.append(Axis(low.long(), (inside - low).float()))
    return axes[0], axes[1]


def picture_classes(logits: Tensor, size: tuple[int, int]) -> Tensor:
    """Return the class (H, W) uint8 of each pixel of a picture: the argmax of a crop's logits (K, h, w) interpolated.

    On the logits' device.
    """
    rows, columns = picture_axes(size, logits)
    if _interpolates_everywhere(logits.device):
        return interpolated(logits, rows, columns, best_class, torch.uint8)
    nodes = best_class(logits)
    result = nodes[:, columns.low].index_select(0, rows.low)
    _fill_cells(result, _mixed_cells(nodes), logits, rows, columns, best_class)
    return result


def picture_alpha(logits: Tensor, size: tuple[int, int], kept: Collection[int]) -> Tensor:
    """Return how much of each pixel of a picture belongs to the classes `kept`: (H, W) uint8, 0..255.

    Where these meet others, it is the softmax of the best class kept and the best other one, interpolated as in
    `picture_classes`: more than half where the class map says so. Away from there it is all or nothing, whatever the
    softmax, or unsure networks would make people of glass.
    """
    rest = [index for index in range(len(logits)) if index not in kept]
    if not kept or not rest:
        return torch.full(size, 255 if kept else 0, dtype=torch.uint8, device=logits.device)
    chosen = torch.tensor(sorted(set(kept)), device=logits.device)
    nodes = torch.isin(best_class(logits), chosen)
    weight = _near_borders(nodes)
    rows, columns = picture_axes(size, logits)
    fields = torch.cat([logits, weight[None], nodes[None].to(logits.dtype)])
    soft = partial(_soft_alpha, kept=chosen, rest=torch.tensor(rest, device=logits.device))
    if _interpolates_everywhere(logits.device):
        return interpolated(fields, rows, columns, soft, torch.uint8)
    result = (nodes[:, columns.low].to(torch.uint8) * 255).index_select(0, rows.low)
    with_weight = F.max_pool2d(weight[None, None], 2, stride=1)[0, 0] > 0  # at any of their corners
    _fill_cells(result, with_weight, fields, rows, columns, soft)
    return result


def _soft_alpha(fields: Tensor, kept: Tensor, rest: Tensor) -> Tensor:
    """Return alpha (R, C) of logits (K, R, C), the weight of their softmax, and what counts besides."""
    margin = fields.index_select(0, kept).amax(dim=0) - fields.index_select(0, rest).amax(dim=0)
    alpha = (torch.lerp(fields[-1], margin.sigmoid(), fields[-2]) * 255).round()
    # Mixed with what is all or nothing, the softmax can end on the other side of a half.
    return torch.where(margin > 0, alpha.clamp(128, 255), alpha.clamp(0, 127)).to(torch.uint8)


def picture_margins(
    logits: Tensor, size: tuple[int, int], down: slice, across: slice, background: int, *, nearest: bool = False
) -> Tensor:
    """Return by how much the best class's logit exceeds the background's, in a rectangle of a picture (H, W).

    Where `background` is no class, the second best class's. `nearest`: do not interpolate.
    """
    rows, columns = picture_axes(size, logits)
    rows, columns = rows.part(down), columns.part(across)
    if nearest:
        rows, columns = (axis._replace(fraction=axis.fraction.round()) for axis in (rows, columns))
    return interpolated(logits, rows, columns, partial(_margin, background=background), torch.float32)


def _margin(logits: Tensor, background: int) -> Tensor:
    best = logits.amax(dim=0)
    if background < len(logits):
        return best - logits[background]
    return best - logits.masked_fill(logits == best, -torch.inf).amax(dim=0)


def interpolated(logits: Tensor, rows: Axis, columns: Axis, reduce: Reduce, dtype: torch.dtype) -> Tensor:
    """Return `reduce` of the logits (K, h, w) interpolated at all rows x columns, in pieces of bounded memory."""
    result = torch.empty((len(rows.low), len(columns.low)), dtype=dtype, device=logits.device)
    piece = CPU_PIECE if logits.device.type == "cpu" else GPU_PIECE
    high = min(ROWS, len(rows.low))
    wide = max(1, piece // (len(logits) * high))
    for left in range(0, len(columns.low), wide):
        across = slice(left, left + wide)
        for top in range(0, len(rows.low), high):
            down = slice(top, top + high)
            result[down, across] = reduce(_between(logits, rows.part(down), columns.part(across)))
    return result


def _interpolates_everywhere(device: torch.device) -> bool:
    """Return whether finding out where it could be spared would cost a device more than it saves."""
    return device.type != "cpu"


def _between(logits: Tensor, rows: Axis, columns: Axis) -> Tensor:
    """Return the logits (K, R, C) at rows x columns: interpolated along the crop's rows first, then between them."""
    first, last = int(rows.low[0]), int(rows.low[-1]) + 1
    rows, columns = rows.to(logits.device), columns.to(logits.device)
    band = logits[:, first : last + 1].contiguous()
    along = torch.lerp(band.index_select(2, columns.low), band.index_select(2, columns.low + 1), columns.fraction)
    fraction = rows.fraction[:, None]
    if last - first == 1:
        return torch.lerp(along[:, :1], along[:, 1:], fraction)
    return torch.lerp(along[:, rows.low - first], along[:, rows.low - first + 1], fraction)


def best_class(logits: Tensor) -> Tensor:
    """Return the first class with the highest logit: (..., K, H, W) -> (..., H, W) uint8."""
    # On a CPU four times as fast as `argmax`, which says the same.
    return logits.max(dim=-3).indices.to(torch.uint8)


def _mixed_cells(nodes: Tensor) -> Tensor:
    """Return (h - 1, w - 1) bool: between which four neighbouring nodes (h, w) not all are the same."""
    first = nodes[:-1, :-1]
    return (first != nodes[:-1, 1:]) | (first != nodes[1:, :-1]) | (first != nodes[1:, 1:])


def _near_borders(nodes: Tensor) -> Tensor:
    """Return a weight for each node (h, w) of bool: 1 beside nodes of the other kind, fading to 0 further away."""
    mixed = _mixed_cells(nodes).float()[None, None]
    weight = F.max_pool2d(F.pad(mixed, (1, 1, 1, 1)), 2, stride=1)  # the corners of these cells
    for _ in range(FADE - 1):
        weight = torch.maximum(weight, F.max_pool2d(weight, 3, stride=1, padding=1) - 1 / FADE)
    return weight[0, 0]


def _fill_cells(result: Tensor, cells: Tensor, logits: Tensor, rows: Axis, columns: Axis, reduce: Reduce) -> None:
    """Replace a result (H, W) in the cells (h - 1, w - 1) of the crop that are set by `reduce` of the logits there."""
    in_row = cells[:, columns.low]
    starts = torch.searchsorted(rows.low, torch.arange(len(cells) + 1)).tolist()
    for cell_row in cells.any(dim=1).nonzero().flatten().tolist():
        down = slice(starts[cell_row], starts[cell_row + 1])
        chosen = in_row[cell_row].nonzero().flatten()
        if down.start < down.stop and len(chosen):
            values = interpolated(logits, rows.part(down), columns.part(chosen), reduce, result.dtype)
            result[down].index_copy_(1, chosen, values)
