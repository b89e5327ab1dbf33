"""A `HumanParser` around a network of a few hundred weights, whose class maps have many classes and ragged borders."""

import torch

from dataset.descriptions import BUILT_IN, DatasetDescription
from tests.support.tiny_network import TinyNetwork
from utils.inference import HumanParser
from utils.inference.engines import TorchEngine

LIP = BUILT_IN["lip"]
CROP = (97, 73)


def tiny_network(num_classes: int = 20) -> TinyNetwork:
    """Return a network in evaluation mode; the same weights every time."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        network = TinyNetwork(num_classes, CROP)
        torch.nn.init.normal_(network.heads.weight)
        bias = torch.zeros(3 * num_classes + 2)
        bias[2 * num_classes] = 1.0  # some background
        network.heads.bias = torch.nn.Parameter(bias)
    return network.eval()


def tiny_parser(description: DatasetDescription = LIP) -> HumanParser:
    """Return a parser for crops of 97 x 73 on the CPU."""
    network, device = tiny_network(description.num_classes), torch.device("cpu")
    return HumanParser(TorchEngine(network, device), description, CROP)
