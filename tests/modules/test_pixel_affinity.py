"""Pixel affinity against the plain formula, and where its gradient does not flow."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from modules.pixel_affinity import PixelAffinity


def inputs(dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor, Tensor]:
    """Return the decoder's map and C2 (9 x 11), and C4 (3 x 4)."""
    return (
        torch.randn(2, 8, 9, 11, dtype=dtype),
        torch.randn(2, 6, 9, 11, dtype=dtype),
        torch.randn(2, 10, 3, 4, dtype=dtype),
    )


def plain(module: PixelAffinity, e4: Tensor, c2: Tensor, c4: Tensor) -> Tensor:
    p2 = F.interpolate(module.detail(c2), (3, 4), mode="bilinear", align_corners=True)
    f = module.embed(torch.cat([module.context(c4), p2], dim=1))
    x = module.refine(e4)
    m = F.interpolate(x.clamp(min=0), (3, 4), mode="bilinear", align_corners=True)
    results = []
    for n in range(len(f)):
        features, carried = f[n].reshape(8, 12), m[n].reshape(8, 12)
        scores = features.T @ features / math.sqrt(8)
        affinity = scores.exp() / scores.exp().sum(dim=0, keepdim=True)
        results.append((carried @ affinity).reshape(8, 3, 4))
    r = F.interpolate(torch.stack(results), (9, 11), mode="bilinear", align_corners=True)
    return module.merge(torch.cat([x, r], dim=1))


def test_equals_the_plain_formula() -> None:
    module = PixelAffinity(6, 10, 8).double().eval()
    x, detail, context = inputs()
    torch.testing.assert_close(module(x, detail, context), plain(module, x, detail, context))


def test_no_gradient_flows_through_the_carried_map() -> None:
    """Only the path past the affinity reaches x: the carried half of the merge gives it none."""
    module = PixelAffinity(6, 10, 8).double().eval()
    x, detail, context = inputs()
    module.get_parameter("merge.conv.weight").data[:, :8] = 0
    x.requires_grad_()
    module(x, detail, context).sum().backward()
    assert x.grad is not None
    assert x.grad.count_nonzero() == 0


def test_gradient_flows_through_the_affinity_itself() -> None:
    module = PixelAffinity(6, 10, 8).double().eval()
    x, detail, context = inputs()
    detail.requires_grad_()
    context.requires_grad_()
    module(x, detail, context).sum().backward()
    assert detail.grad is not None
    assert context.grad is not None
    assert detail.grad.abs().max() > 0
    assert context.grad.abs().max() > 0


def test_bfloat16_autocast_stays_close() -> None:
    module = PixelAffinity(6, 10, 8).eval()
    x, detail, context = inputs(torch.float32)
    with torch.no_grad():
        expected = module(x, detail, context)
        with torch.autocast("cpu", torch.bfloat16):
            half = module(x, detail, context)
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), expected, rtol=0.05, atol=0.05)
