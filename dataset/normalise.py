"""Pixels as the network wants them."""

import torch
from torch import Tensor

# ImageNet's statistics for red, green, blue. The published weights were trained with them applied to the channels in
# stored order, which is BGR: kept, because a parser fed otherwise loses several points of mIoU with those weights.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


def normalise(images: Tensor) -> Tensor:
    """Turn BGR pixels (N, 3, H, W) uint8 into network input: float32, divided by 255, less MEAN, over STD."""
    mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
    std = torch.tensor(STD, device=images.device).view(3, 1, 1)
    return (images.float() / 255 - mean) / std
