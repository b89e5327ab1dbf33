"""The backbone: ResNet (He, Zhang, Ren, Sun, CVPR 2016) with a deep stem and output stride 16.

The deep stem, three 3 x 3 convolutions instead of one 7 x 7, is Inception's (ResNet-C: He et al., CVPR 2019). The last
layer keeps its resolution and dilates its convolutions instead, as DeepLab does (Chen et al., 2017).
"""

from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

BLOCKS = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class Bottleneck(nn.Module):
    """1 x 1 reduce, 3 x 3 (which carries stride and dilation), 1 x 1 expand by four, plus the shortcut."""

    expansion = 4

    def __init__(self, in_channels: int, planes: int, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        out_channels = planes * self.expansion
        self.conv1 = nn.Conv2d(in_channels, planes, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(planes)
        self.conv2 = _conv3x3(planes, planes, stride, dilation)
        self.bn2 = nn.BatchNorm2d(planes)
        self.conv3 = nn.Conv2d(planes, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.relu = nn.ReLU(inplace=True)
        self.downsample: nn.Sequential | None = None
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Map (N, in_channels, H, W) to (N, 4 planes, H / stride, W / stride)."""
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        out += shortcut
        return cast(Tensor, self.relu(out))


class ResNet(nn.Module):
    """ResNet-50 or -101 with a stem of three 3 x 3 convolutions and output stride 16.

    Tensor names are those of the ImageNet weights that exist for it (`resnet101-imagenet.pth`).
    """

    def __init__(self, depth: int = 101) -> None:
        """Raise ValueError for a depth other than 50 and 101."""
        super().__init__()
        if depth not in BLOCKS:
            raise ValueError(f"backbone depth {depth} is not available; choose one of {sorted(BLOCKS)}")
        self.conv1 = _conv3x3(3, 64, stride=2)
        self.bn1 = nn.BatchNorm2d(64)
        self.conv2 = _conv3x3(64, 64)
        self.bn2 = nn.BatchNorm2d(64)
        self.conv3 = _conv3x3(64, 128)
        self.bn3 = nn.BatchNorm2d(128)
        self.relu = nn.ReLU(inplace=True)
        blocks = BLOCKS[depth]
        self.layer1 = _layer(128, 64, blocks[0])
        self.layer2 = _layer(256, 128, blocks[1], stride=2)
        self.layer3 = _layer(512, 256, blocks[2], stride=2)
        self.layer4 = _layer(1024, 512, blocks[3], dilation=2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Map images (N, 3, H, W) to C2 (256 channels, 1/4), C3 (512, 1/8), C4 (1024, 1/16), C5 (2048, 1/16)."""
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        x = self.relu(self.bn3(self.conv3(x)))
        c2 = self.layer1(_max_pool(x))
        c3 = self.layer2(c2)
        c4 = self.layer3(c3)
        c5 = self.layer4(c4)
        return c2, c3, c4, c5


def _max_pool(x: Tensor) -> Tensor:
    """Return the maximum of each 3 x 3 window around every second pixel of every second row."""
    # PyTorch 2.9 to 2.11 export a pooling with a stride for every second image size alone. Versions that cannot tell
    # exporting from compiling cannot export this network at all.
    is_exporting = getattr(torch.compiler, "is_exporting", None)
    if is_exporting is not None and is_exporting():
        return F.max_pool2d(x, 3, stride=1, padding=1)[:, :, ::2, ::2]
    return F.max_pool2d(x, 3, stride=2, padding=1)


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride, padding=dilation, dilation=dilation, bias=False)


def _layer(in_channels: int, planes: int, blocks: int, stride: int = 1, dilation: int = 1) -> nn.Sequential:
    """Return a layer of bottlenecks; the first one changes stride and channels, all share the dilation."""
    first = Bottleneck(in_channels, planes, stride, dilation)
    channels = planes * Bottleneck.expansion
    return nn.Sequential(first, *(Bottleneck(channels, planes, dilation=dilation) for _ in range(blocks - 1)))
