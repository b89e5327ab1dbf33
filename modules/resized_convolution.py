"""A 3 x 3 convolution of an enlarged map, without enlarging it.

    conv(up(s)) = sum over the taps (dy, dx) of  R[dy] (W[dy, dx] s) C[dx]^T

Bilinear resizing `up` multiplies by a matrix from either side, and a tap of the convolution shifts the rows of the one
and of the other. So the channels are mixed at the small size, where there are a sixteenth of the pixels, and the
matrices R (rows) and C (columns) with shifted rows enlarge the result. Nothing else changes but the order of the sums;
neither the enlarged map nor what it would be joined with is ever made, or kept for the backward pass.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from modules.layers import made_once, resize, resize_matrix


def conv3x3_of_resized(small: Tensor, weight: Tensor, size: torch.Size | tuple[int, int]) -> Tensor:
    """Return conv2d(resize(small, size), weight, padding=1), with `resize` that of `modules.layers`.

    small: (N, C, h, w). weight: (out, C, 3, 3). size: (H, W). Returns (N, out, H, W), with the channels last.
    """
    if torch.jit.is_tracing():  # which OpenVINO converts by, and which takes numbers made of sizes for constants
        return F.conv2d(resize(small, size), weight, padding=1)
    out, (h, w) = weight.shape[0], small.shape[2:]
    mixing = weight.permute(2, 3, 0, 1).flatten(0, 2)  # (dy * dx * out, C)
    mixed = F.conv2d(small, mixing[:, :, None, None]).permute(0, 3, 2, 1)  # (N, w, h, dy * dx * out)
    rows, columns = _shifted_resize(h, size[0], like=mixed), _shifted_resize(w, size[1], like=mixed)
    # Joined by `cat`: exporting for any size would fail at a reshape of two axes into one.
    tall = rows @ torch.cat(mixed.split(3 * out, dim=3), dim=2)  # (N, w, H, dx * out)
    return (columns @ torch.cat(tall.transpose(1, 2).split(out, dim=3), dim=2)).permute(0, 3, 1, 2)


@made_once
def _shifted_resize(small: int, large: int, *, like: Tensor) -> Tensor:
    """Return the matrix (large, 3 * small) that, for each of three taps, resizes and shifts along one axis.

    Row y of the part of tap d holds the weights with which the small positions make the large position y + d - 1; none
    where that lies outside, in the convolution's padding.
    """
    matrix = resize_matrix(small, large, like=like)
    padded = F.pad(matrix, (0, 0, 1, 1))
    return torch.cat([padded[:large], matrix, padded[2:]], dim=1).to(like.dtype)
