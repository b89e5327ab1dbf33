"""Numbers recorded from the published network and pipeline, and the inputs they were recorded with.

The weights are random but reproducible: every tensor depends on the seed and its published name alone, so they are
written down here instead of lying in the repository as 400 MB.
"""

import json
import math
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

FOLDER = Path(__file__).parent


def load(name: str) -> dict[str, NDArray[Any]]:
    """Return everything in one of the recorded .npz files."""
    with np.load(FOLDER / f"{name}.npz") as file:
        return {key: file[key] for key in file.files}


def published_shapes(num_classes: int = 20) -> dict[str, tuple[int, ...]]:
    """Return the published network's tensor names, in their order, with their shapes."""
    entries = json.loads((FOLDER / "manifest.json").read_text())
    return {name: tuple(num_classes if size == "C" else size for size in shape) for name, shape in entries}


def published_weights(seed: int = 0, num_classes: int = 20, prefix: str = "") -> dict[str, Tensor]:
    """Return a state dict under the published names; prefix="module." mimics the released file."""
    return {prefix + name: _tensor(name, shape, seed) for name, shape in published_shapes(num_classes).items()}


def _tensor(name: str, shape: tuple[int, ...], seed: int) -> Tensor:
    """Return normal numbers, scaled so that activations keep their size throughout the network."""
    module, _, leaf = name.rpartition(".")
    if leaf == "num_batches_tracked":
        return torch.zeros(shape, dtype=torch.int64)
    generator = np.random.Generator(np.random.PCG64((seed << 32) + zlib.crc32(name.encode())))
    values: NDArray[Any] = np.asarray(generator.standard_normal(shape, dtype=np.float32))
    in_backbone_stage = name.startswith("layer")
    if len(shape) > 1:  # convolutions and linear layers; whatever joins features gets less gain
        values = values * math.sqrt(2 / math.prod(shape[1:]))
        if not in_backbone_stage and not name.startswith("conv"):
            values = 0.7 * values
    elif leaf == "running_var":
        values = 1.0 + 0.1 * np.abs(values)
    elif leaf in ("running_mean", "bias"):
        values = 0.1 * values
    else:  # scales of norms, learned gates
        values = 1.0 + 0.1 * values
        if in_backbone_stage and module.endswith("bn3"):
            values = 0.2 * values
    return torch.from_numpy(values.astype(np.float32, copy=False))


def random_images(seed: int, shape: Iterable[int]) -> Tensor:
    """Return the float32 images (N, 3, H, W) that belong to a seed."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal(tuple(shape), dtype=np.float32))


def label_maps(seed: int, count: int, height: int, width: int, num_classes: int = 20) -> Tensor:
    """Return uint8 label maps (N, H, W) of overlapping rectangles, 255 in the upper rows and right columns."""
    generator = np.random.default_rng(seed)
    labels = np.zeros((count, height, width), np.uint8)
    for label in labels:
        for _ in range(14):
            top, bottom = sorted(generator.integers(0, height + 1, 2))
            left, right = sorted(generator.integers(0, width + 1, 2))
            label[top:bottom, left:right] = generator.integers(0, num_classes)
        label[:3] = 255
        label[:, -4:] = 255
    return torch.from_numpy(labels)
