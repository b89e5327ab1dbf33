"""The edge branch against the plain formula."""

import torch
from torch import nn

from modules.edge import EdgeBranch


def test_doubles_the_features_where_an_edge_is_predicted() -> None:
    module = EdgeBranch(6, 8).double().eval()
    x = torch.randn(2, 8, 9, 11, dtype=torch.float64)
    detail = torch.randn(2, 6, 9, 11, dtype=torch.float64)
    q = module.combine(torch.cat([x, module.detail(detail)], dim=1))
    logits_at_first = module.classifier(q)
    difference = logits_at_first[:, 1] - logits_at_first[:, 0]
    module.get_parameter("classifier.conv.bias").data[1] -= difference.median()  # half of the pixels are edges
    expected_logits = module.classifier(q)
    is_edge = expected_logits[:, 1:] > expected_logits[:, :1]
    assert 0 < is_edge.double().mean() < 1
    sharpened, logits = module(x, detail)
    torch.testing.assert_close(logits, expected_logits)
    torch.testing.assert_close(sharpened, module.merge(torch.cat([x, torch.where(is_edge, 2 * q, q)], dim=1)))


def test_no_gradient_flows_through_the_decision() -> None:
    module = EdgeBranch(6, 8).eval()
    sharpened, _ = module(torch.randn(1, 8, 5, 5), torch.randn(1, 6, 5, 5))
    sharpened.sum().backward()
    assert module.get_parameter("classifier.conv.weight").grad is None
    assert module.get_parameter("combine.conv.weight").grad is not None


def test_last_layer_drops_channels_and_has_a_bias() -> None:
    classifier = EdgeBranch(6, 8).classifier
    assert isinstance(classifier.dropout, nn.Dropout2d)
    assert classifier.dropout.p == 0.1
    assert classifier.get_parameter("conv.bias").shape == (2,)
