"""CSENet: Channel and Spatial Enhancement Network for Human Parsing (Image and Vision Computing, 2024)."""

import operator
import reprlib
from collections import OrderedDict
from collections.abc import Iterable
from typing import NamedTuple

from torch import Tensor, nn

from modules.class_distribution import ClassDistributionGuidance
from modules.context_alignment import ContextAlignment
from modules.edge import EdgeBranch
from modules.enhancement_stage import EnhancementStage
from modules.layers import classifier, conv_bn_act
from modules.pixel_affinity import PixelAffinity
from networks.resnet import ResNet

SMALLEST_SIDE = 65
"""Height and width of the smallest image that the network accepts."""
LARGEST_SIDE = 4096
"""Height and width of the largest training crop: its feature maps take tens of gigabytes already."""


class CSENetOutput(NamedTuple):
    """What the network returns for N images of H x W; K classes, a network built for height x width crops."""

    coarse: Tensor
    """(N, K, ~H/16, ~W/16) logits from C4; auxiliary loss."""
    body: Tensor
    """(N, K, ~H/4, ~W/4) logits before the edge branch; loss."""
    final: Tensor
    """(N, K, ~H/4, ~W/4) logits; loss, and every prediction."""
    edge: Tensor
    """(N, 2, ~H/4, ~W/4) logits: no edge, edge."""
    rows: Tensor
    """(N, K, height // 4) distribution of each class over the rows, 0..1."""
    cols: Tensor
    """(N, K, width // 4) distribution of each class over the columns, 0..1."""


class CSENet(nn.Module):
    """The whole network: backbone, context, distribution guidance, four enhancement stages, affinity, edges.

    Args:
        num_classes: number of classes K.
        input_size: (height, width) of the training crop. It fixes the number of row and column bins and so
            is part of the weights' meaning; images of any other size of at least 65 x 65 are accepted.
        depth: of the backbone, 101 (the published one) or 50.

    Raises ValueError for other depths, for less than one class, and for a size that is impossible.
    """

    def __init__(self, num_classes: int = 20, input_size: tuple[int, int] = (473, 473), *, depth: int = 101) -> None:
        super().__init__()
        if num_classes < 1:
            raise ValueError(f"num_classes is {num_classes}; a network needs at least one")
        self.num_classes = num_classes
        self.input_size = checked_size(input_size)
        self.depth = depth
        bins = (self.input_size[0] // 4, self.input_size[1] // 4)

        self.backbone = ResNet(depth)
        self.context_alignment = ContextAlignment(2048, 512)
        self.class_distribution = ClassDistributionGuidance(512, num_classes, bins)
        self.stage1 = EnhancementStage(2048, 512, 256)
        self.stage2 = EnhancementStage(1024, 256, 256)
        self.stage3 = EnhancementStage(512, 256, 256)
        self.stage4 = EnhancementStage(256, 256, 256)
        self.pixel_affinity = PixelAffinity(256, 1024, 256)
        self.edge = EdgeBranch(256, 256)
        self.coarse_head = _head(1024, 256, num_classes)
        self.body_head = classifier(256, num_classes)
        self.final_head = _head(256, 256, num_classes)
        self.apply(_initialise)

    def forward(self, images: Tensor) -> CSENetOutput:
        """Parse images (N, 3, H, W): BGR, divided by 255 and normalised (see `dataset`), H and W at least 65."""
        c2, c3, c4, c5 = self.backbone(images)
        context = self.context_alignment(c5)
        guided, rows, cols = self.class_distribution(context)
        x = self.stage1(c5, guided)
        x = self.stage2(c4, x)
        x = self.stage3(c3, x)
        x = self.stage4(c2, x)
        refined = self.pixel_affinity(x, detail=c2, context=c4)
        sharpened, edge = self.edge(refined, detail=c2)
        return CSENetOutput(
            coarse=self.coarse_head(c4),
            body=self.body_head(refined),
            final=self.final_head(sharpened),
            edge=edge,
            rows=rows,
            cols=cols,
        )


def checked_size(input_size: Iterable[int]) -> tuple[int, int]:
    """Return a training size as (height, width).

    Raises ValueError where it is something else than two whole numbers from `SMALLEST_SIDE` to `LARGEST_SIDE`.
    """
    try:
        height, width = (operator.index(side) for side in input_size)
    except (TypeError, ValueError) as error:
        raise ValueError(f"input size {reprlib.repr(input_size)} is not two whole numbers: (height, width)") from error
    if not SMALLEST_SIDE <= min(height, width) <= max(height, width) <= LARGEST_SIDE:
        raise ValueError(
            f"input size {reprlib.repr(height)} x {reprlib.repr(width)} (height x width) is not between "
            f"{SMALLEST_SIDE} x {SMALLEST_SIDE} and {LARGEST_SIDE} x {LARGEST_SIDE}"
        )
    return height, width


def _head(in_channels: int, channels: int, num_classes: int) -> nn.Sequential:
    """Return a 1 x 1 convolution with norm and activation, then the classifier."""
    return nn.Sequential(
        OrderedDict(reduce=conv_bn_act(in_channels, channels, 1), classifier=classifier(channels, num_classes))
    )


def _initialise(module: nn.Module) -> None:
    """Kaiming-normal convolutions; BatchNorm, linear layers and gates already start as they should."""
    # A meta tensor has no values, and PyTorch would import SymPy, which takes two seconds, to draw none.
    if isinstance(module, nn.Conv1d | nn.Conv2d) and not module.weight.is_meta:
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
