"""Channel enhancement against the formula of the paper."""

import torch
from torch import Tensor, nn

from modules.channel_enhancement import ChannelEnhancement
from modules.context_alignment import ContextAlignment
from modules.enhancement_stage import EnhancementStage
from modules.spatial_enhancement import SpatialCompensation


def leaky(x: Tensor) -> Tensor:
    return torch.where(x > 0, x, 0.01 * x)


def test_equals_the_plain_formula() -> None:
    module = ChannelEnhancement(8).double().eval()
    module.low_gate.data.fill_(0.7)
    module.high_gate.data.fill_(-1.3)
    low = torch.randn(3, 8, 5, 7, dtype=torch.float64)
    high = torch.randn(3, 8, 2, 4, dtype=torch.float64)
    for n in range(3):
        g_h = leaky(module.high_descriptor.weight @ high[n].flatten(1).mean(1))
        g_l = leaky(module.low_descriptor.weight @ low[n].flatten(1).mean(1))
        a = torch.sigmoid(module.expand.weight @ leaky(module.reduce.weight @ (g_h - g_l)))
        s_l = 0.7 * a * g_l + g_l
        s_h = -1.3 * (1 - a) * g_h + g_h
        scaled_low = low[n] + s_l[:, None, None] * low[n]
        scaled_high = high[n] + s_h[:, None, None] * high[n]
        enhanced_low, enhanced_high = module(low, high)
        torch.testing.assert_close(enhanced_low[n], module.low_conv(scaled_low[None])[0])
        torch.testing.assert_close(enhanced_high[n], module.high_conv(scaled_high[None])[0])


def test_layers_have_the_published_shapes_and_no_bias() -> None:
    module = ChannelEnhancement(16)
    shapes = {name: tuple(parameter.shape) for name, parameter in module.named_parameters() if "conv" not in name}
    assert shapes == {
        "low_descriptor.weight": (16, 16),
        "high_descriptor.weight": (16, 16),
        "reduce.weight": (4, 16),
        "expand.weight": (16, 4),
        "low_gate": (1,),
        "high_gate": (1,),
    }
    assert module.low_gate.item() == module.high_gate.item() == 1


def test_inputs_are_left_as_they_were() -> None:
    low, high = torch.randn(2, 8, 5, 5), torch.randn(2, 8, 3, 3)
    before = low.clone(), high.clone()
    ChannelEnhancement(8)(low, high)
    assert torch.equal(low, before[0])
    assert torch.equal(high, before[1])


def test_alignment_and_stages_share_the_two_ideas() -> None:
    for block in (ContextAlignment(16, 8), EnhancementStage(8, 12, 8)):
        kinds = [type(module) for module in block.modules()]
        assert kinds.count(ChannelEnhancement) == 1
        assert kinds.count(SpatialCompensation) == 1
        assert not any(isinstance(module, nn.AdaptiveAvgPool2d) for module in block.modules())
