"""The shapes in the figure of the network are those that the network has."""

import re
from collections.abc import Sequence
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn

from networks import CSENet
from tests.support.pages import ROOT

# What the figure calls the results of each part, in their order.
NAMES = {
    "backbone": ["C2", "C3", "C4", "C5"],
    "context_alignment": ["context alignment"],
    "class_distribution": ["class distribution", "rows, columns", "rows, columns"],
    **{f"stage{number}": [f"stage {number}"] for number in range(1, 5)},
    "pixel_affinity": ["pixel affinity"],
    "edge": ["edge branch", "edge"],
    "coarse_head": ["coarse"],
    "body_head": ["body"],
    "final_head": ["final"],
}


def test_the_shapes_in_the_figure_are_those_of_the_network() -> None:
    shapes: dict[str, list[str]] = {}

    def remember(part: str, _module: nn.Module, _inputs: object, output: Tensor | Sequence[Tensor]) -> None:
        outputs = [output] if isinstance(output, Tensor) else output
        for name, tensor in zip(NAMES[part], outputs, strict=True):
            shapes.setdefault(name, []).append(" × ".join(map(str, tensor.shape[1:])))

    with torch.device("meta"), torch.no_grad():
        model = CSENet().eval()
        for part, module in model.named_children():
            module.register_forward_hook(partial(remember, part))
        model(torch.empty(1, 3, *model.input_size))
    texts = re.findall(">([^<>]+)</text>", (ROOT / "docs/images/network.svg").read_text(encoding="utf-8"))
    drawn = {name: shape.split(", ") for name, shape in pairwise(texts) if "×" in shape}
    assert drawn == shapes | {"image": ["3 × 473 × 473"]}, "change the text in the figure, and look at it"
