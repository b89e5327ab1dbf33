"""The translation of tensor names is a bijection over everything that the published network holds."""

import pytest
import torch
from torch import Tensor

from networks import CSENet
from tests.golden.recorded import published_shapes
from utils.checkpoint import from_published, to_published


def published(num_classes: int = 20) -> dict[str, Tensor]:
    """Return tensors of the published names and shapes that take no memory."""
    shapes = published_shapes(num_classes)
    return {name: torch.empty(shape, device="meta") for name, shape in shapes.items()}


def shapes_of(state: dict[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


@pytest.mark.parametrize("num_classes", [20, 7])
def test_names_and_shapes_of_all_tensors_agree(num_classes: int) -> None:
    with torch.device("meta"):
        own = CSENet(num_classes).state_dict()
    assert len(own) == 1053
    assert shapes_of(to_published(own)) == published_shapes(num_classes)
    assert shapes_of(from_published(published(num_classes))) == shapes_of(own)


def test_there_and_back_is_the_identity(network: CSENet) -> None:
    own = network.state_dict()
    there_and_back = from_published(to_published(own))
    assert list(there_and_back) == list(own)
    assert all(there_and_back[name] is tensor for name, tensor in own.items())
    state = published()
    assert to_published(from_published(state)) == state


@pytest.mark.parametrize("prefix", ["module.", "_orig_mod.", "module._orig_mod.", "_orig_mod.module."])
def test_wrappers_of_a_published_name_are_taken_off(prefix: str) -> None:
    wrapped = {prefix + name: tensor for name, tensor in published().items()}
    assert list(from_published(wrapped)) == list(from_published(published()))


def test_low_and_high_keep_their_roles() -> None:
    """The published code numbers what this project names; a few of the pairs that are easily swapped."""
    own = from_published(published())
    names = {
        "PSPAlign.glpool_h.0.weight": "context_alignment.channel_enhancement.high_descriptor.weight",
        "SPFlt3.gamma": "stage3.channel_enhancement.low_gate",
        "SPFlt3.beta": "stage3.channel_enhancement.high_gate",
        "SPFlt2.AlignModule.delta_gen1.1.weight": "stage2.high_flow.1.weight",
        "SPFlt2.AlignModule.delta_gen2.1.weight": "stage2.low_flow.1.weight",
        "CDGNet.conv_hgt1.0.weight": "class_distribution.rows.reduce.conv.weight",
        "seg1.3.bias": "coarse_head.classifier.conv.bias",
        "Attention.seg.1.bias": "body_head.conv.bias",
        "seg3.3.bias": "final_head.classifier.conv.bias",
        "layer4.2.bn3.running_var": "backbone.layer4.2.bn3.running_var",
    }
    for theirs, ours in names.items():
        assert ours in own
        assert list(to_published({ours: own[ours]})) == [theirs]


def test_a_depth_50_network_translates_too() -> None:
    with torch.device("meta"):
        own = CSENet(20, depth=50).state_dict()
    assert list(from_published(to_published(own))) == list(own)


@pytest.mark.parametrize("name", ["SPFlt5.gamma", "fc.weight", "PSPAlign.nothing.weight", "module.", ""])
def test_a_name_that_was_never_published_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="is not the name of a CSENet tensor"):
        from_published({name: torch.zeros(1)})


@pytest.mark.parametrize("name", ["stage5.low_gate", "fc.weight", "PSPAlign.gamma"])
def test_a_name_that_this_network_does_not_have_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"'{name}' is not the name of a CSENet tensor"):
        to_published({name: torch.zeros(1)})


def test_a_tensor_under_two_wrappings_is_refused() -> None:
    with pytest.raises(ValueError, match=r"'bn1\.weight' twice"):
        from_published({"bn1.weight": torch.zeros(64), "module.bn1.weight": torch.ones(64)})
