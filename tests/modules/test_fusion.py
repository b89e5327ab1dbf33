"""Context alignment, class-distribution guidance and enhancement stage: their wiring, written out from the paper."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from modules.class_distribution import ClassDistributionGuidance
from modules.context_alignment import ContextAlignment
from modules.enhancement_stage import EnhancementStage
from modules.spatial_enhancement import warp


def bilinear(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size, mode="bilinear", align_corners=True)


def test_context_alignment_equals_the_plain_formula() -> None:
    module = ContextAlignment(16, 8).double().eval()
    x = torch.randn(2, 16, 7, 9, dtype=torch.float64)
    high = module.summary(F.adaptive_avg_pool2d(x, (3, 3)))
    low = module.adapt(x)
    low, high = module.channel_enhancement(low, high)
    flow = module.flow(torch.cat([low, bilinear(high, (7, 9))], dim=1))
    assert flow.shape == (2, 2, 7, 9)
    torch.testing.assert_close(module(x), module.compensation(low, warp(high, flow)))


def test_enhancement_stage_equals_the_plain_formula() -> None:
    module = EnhancementStage(6, 10, 8).double().eval()
    low_in = torch.randn(2, 6, 9, 11, dtype=torch.float64)
    high_in = torch.randn(2, 10, 5, 6, dtype=torch.float64)
    low_p, high_p = module.low_project(low_in), module.high_project(high_in)
    low, high = module.channel_enhancement(low_p, high_p)
    h, l_ = bilinear(module.high_reduce(high), (9, 11)), module.low_reduce(low)
    both = torch.cat([h, l_], dim=1)
    flow_high = F.conv2d(both, module.get_parameter("high_flow.1.weight"), padding=1)
    flow_low = F.conv2d(both, module.get_parameter("low_flow.1.weight"), padding=1)
    out = module.compensation(warp(low, flow_low), warp(high, flow_high))
    torch.testing.assert_close(module(low_in, high_in), module.merge(torch.cat([out, low_p], dim=1)))


def test_each_flow_of_a_stage_has_its_own_dropout_draw() -> None:
    module = EnhancementStage(6, 10, 8)
    low, high = module.low_flow[0], module.high_flow[0]
    assert isinstance(low, nn.Dropout2d)
    assert isinstance(high, nn.Dropout2d)
    assert low is not high
    assert low.p == high.p == 0.1


def test_distribution_guidance_equals_the_plain_formula() -> None:
    bins = (6, 4)
    module = ClassDistributionGuidance(16, 5, bins).double().eval()
    nn.init.normal_(module.class_gate)
    x = torch.randn(2, 16, 7, 9, dtype=torch.float64)
    rows = module.rows.reduce(F.adaptive_avg_pool2d(x, (6, 1)).flatten(2))
    cols = module.columns.reduce(F.adaptive_avg_pool2d(x, (1, 4)).flatten(2))
    row_prediction = torch.sigmoid(module.rows.distribution(rows))
    column_prediction = torch.sigmoid(module.columns.distribution(cols))
    u_r = bilinear(torch.sigmoid(module.rows.attention(rows))[:, :, :, None], (7, 9))
    u_c = bilinear(torch.sigmoid(module.columns.attention(cols))[:, :, None, :], (7, 9))
    hidden = module.get_parameter("balance.reduce.weight")[:, :, 0, 0] @ module.class_gate
    hidden = torch.where(hidden > 0, hidden, 0.01 * hidden)
    g = torch.sigmoid(module.get_parameter("balance.expand.weight")[:, :, 0, 0] @ hidden)[:, None, None]
    d = (1 - g) ** 2 * u_c + g**2 * u_r
    merged = module.merge(torch.cat([x + x * d, d], dim=1))

    guided, predicted_rows, predicted_columns = module(x)
    torch.testing.assert_close(guided, merged)
    torch.testing.assert_close(predicted_rows, row_prediction)
    torch.testing.assert_close(predicted_columns, column_prediction)
    assert predicted_rows.shape == (2, 5, 6)
    assert predicted_columns.shape == (2, 5, 4)


def test_distribution_rows_describe_rows() -> None:
    """A map that changes from row to row only must give every column the same prediction, away from the padding."""
    module = ClassDistributionGuidance(8, 3, (12, 12)).eval()
    _, rows, cols = module(torch.randn(1, 8, 12, 1).expand(1, 8, 12, 12))
    inner = cols[..., 4:-4]
    torch.testing.assert_close(inner, inner[..., :1].expand_as(inner))
    assert rows[..., 4:-4].std(dim=-1).min() > 1e-4
