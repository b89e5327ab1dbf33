"""Folding BatchNorm: the same numbers without it, and the network itself as it was."""

import numpy as np
import pytest
import torch
from torch import nn

from networks import CSENet
from tests.golden.recorded import load, random_images
from tests.support.building import Build, trainable_copy
from utils.inference.engines import TorchEngine
from utils.inference.folding import folded

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["forward_97", "forward_129x97_built"])
def test_the_engines_logits_are_the_published_ones(name: str, network_for: Build) -> None:
    recorded = load(name)
    height, width = (int(size) for size in recorded["train_size"])
    engine = TorchEngine(network_for((height, width)), CPU)
    logits = engine(random_images(int(recorded["image_seed"]), recorded["image_shape"]))
    stride = int(recorded["stride"])
    np.testing.assert_allclose(logits[..., ::stride, ::stride], recorded["final"], rtol=0, atol=1e-4)


def test_no_norm_is_left_and_the_network_keeps_its_own(short_network: CSENet) -> None:
    before = {name: tensor.clone() for name, tensor in short_network.state_dict().items()}
    copied = folded(short_network)
    assert not any(isinstance(module, nn.BatchNorm1d | nn.BatchNorm2d) for module in copied.modules())
    after = short_network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())


def test_folding_is_exact_but_for_rounding(short_network: CSENet) -> None:
    images = torch.randn(2, 3, 66, 99, dtype=torch.float64)
    network = trainable_copy(short_network).eval().double()
    with torch.inference_mode():
        for ours, expected in zip(folded(network)(images), network(images), strict=True):
            torch.testing.assert_close(ours, expected, rtol=0, atol=1e-9)


def test_a_network_in_training_mode_is_refused(short_network: CSENet) -> None:
    with pytest.raises(ValueError, match=r"network\.eval\(\) first"):
        folded(trainable_copy(short_network))


def test_a_norm_without_a_convolution_before_it_is_refused() -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU(), nn.BatchNorm2d(4)).eval()
    with pytest.raises(ValueError, match="1 BatchNorm layers do not follow a convolution, the first is '2'"):
        folded(network)
