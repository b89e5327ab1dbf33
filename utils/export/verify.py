"""Whether an exported network computes what the network computes."""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from dataset.command import CommandError
from dataset.normalise import normalise
from dataset.people import draw_person
from modules.layers import resize
from networks import CSENet
from networks.csenet import SMALLEST_SIDE
from utils.inference.engines import first_line

Run = Callable[[Tensor], Tensor]
"""An exported network: normalised images (N, 3, H, W) to logits (N, K, h, w) or classes (N, H, W)."""

MAX_DIFFERENCE = 1e-3
MIN_AGREEMENT = 99.99
EDGE_TIE = 1e-4


class VerificationError(CommandError):
    """An exported file does not compute what the network computes."""


class Comparison(NamedTuple):
    """An exported network against the network, on one batch."""

    content: str
    """What the images show."""
    shape: tuple[int, ...]
    """(N, 3, H, W) of the batch."""
    difference: float | None
    """Largest absolute difference of logits; None for a network that ends in classes."""
    equal: int
    """Pixels, at the images' size, with equal classes."""
    pixels: int

    def __str__(self) -> str:
        logits = "" if self.difference is None else f"logits differ by at most {self.difference:.1e}, "
        size = " x ".join(str(side) for side in self.shape)
        return f"{self.content}, {size}: {logits}classes agree on {100 * self.equal / self.pixels:.3f} %"


def compare(model: CSENet, run: Run, *, classes: bool) -> list[Comparison]:
    """Compare on a random image and on three drawn people, at the smallest size, the training's and another shape."""
    height, width = model.input_size
    another = (max(SMALLEST_SIDE, height * 3 // 4), width * 5 // 4)
    comparisons = []
    for size in ((SMALLEST_SIDE, SMALLEST_SIDE), (height, width), another):
        noise = torch.randn(1, 3, *size, generator=torch.Generator().manual_seed(0))
        people = torch.stack([torch.from_numpy(draw_person(seed, size)[0]).permute(2, 0, 1) for seed in range(3)])
        for content, images in (("random", noise), ("drawn people", normalise(people))):
            comparisons.append(compare_batch(model, run, content, images, classes=classes))
    return comparisons


def check(comparisons: list[Comparison], where: str) -> None:
    """Raise VerificationError where logits differ by more than MAX_DIFFERENCE or fewer than MIN_AGREEMENT percent of
    all pixels agree; `where` is what the message calls the exported file."""
    # "Not at most", since what is not a number must fail as well.
    wrong = [c for c in comparisons if c.difference is not None and not c.difference <= MAX_DIFFERENCE]
    if wrong:
        worst = max(wrong, key=lambda c: c.difference or 0)
        raise VerificationError(
            f"'{where}' was not written: its logits differ from PyTorch's by more than {MAX_DIFFERENCE:g} ({worst})"
        )
    agreement = overall_agreement(comparisons)
    if agreement < MIN_AGREEMENT:
        raise VerificationError(
            f"'{where}' was not written: its classes agree with PyTorch's on {agreement:.3f} % of the pixels, "
            f"{MIN_AGREEMENT} % are needed"
        )


def overall_agreement(comparisons: list[Comparison]) -> float:
    """Return on how many pixels of all batches the classes agree, in percent."""
    return 100 * sum(c.equal for c in comparisons) / sum(c.pixels for c in comparisons)


@torch.inference_mode()
def compare_batch(model: CSENet, run: Run, content: str, images: Tensor, *, classes: bool) -> Comparison:
    """Compare on normalised images (N, 3, H, W); `classes` says that the exported network ends in these.

    Raises VerificationError where the exported network does not run.
    """
    expected = model(images)
    try:
        result = run(images)
    except Exception as error:  # onnxruntime's and PyTorch's have no class in common
        shape = tuple(images.shape)
        raise VerificationError(
            f"the exported network fails on images of shape {shape}: {first_line(error)}"
        ) from error
    difference = None
    if not classes:
        difference = (result - expected.final).abs().masked_fill(_undecided(expected.edge), 0).max().item()
        result = _class_map(result, images)
    equal = int((result == _class_map(expected.final, images)).sum())
    return Comparison(content, tuple(images.shape), difference, equal, result.numel())


def _undecided(edge: Tensor) -> Tensor:
    """Return where rounding may choose the logits: (N, 1, h, w), next to a tie between edge and no edge.

    The edge branch decides by the larger of two logits. Where they are closer than EDGE_TIE, either decision is
    right, and the 3 x 3 convolution behind it changes the logits around.
    """
    tie = (edge[:, :1] - edge[:, 1:]).abs() < EDGE_TIE
    return F.max_pool2d(tie.float(), 3, stride=1, padding=1) > 0


def _class_map(logits: Tensor, images: Tensor) -> Tensor:
    return resize(logits, images.shape[-2:]).argmax(dim=1)
