"""People in pictures: torchvision's detector finds them, so that each can be parsed in a box of its own."""

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dataset.command import CommandError
from utils.checkpoint.files import CheckpointError, read_checkpoint
from utils.device import choose_device
from utils.inference.inputs import Boxes, PictureLike, rgb_picture

LEAST_SCORE = 0.5
"""What counts as a person; lower scores are mostly something else."""
MARGIN = 0.1
"""Of a box's width, on its left and its right, and of its height, above and below, that is parsed with it."""
LONGEST_SIDE = 1333
"""To which the detector makes pictures smaller itself; done before, it takes less memory."""

_PERSON = 1  # in torchvision's numbering of the COCO classes

Box = tuple[float, float, float, float]
"""(x0, y0, x1, y1) in pixels of a picture."""
Network = Callable[[list[Tensor]], list[dict[str, Tensor]]]
"""A detector of torchvision's: pictures (3, H, W) RGB 0..1 in, "boxes" (n, 4), "labels" (n,), "scores" (n,) out."""


class DetectorError(CommandError):
    """The detector's weights cannot be had; the message says why and what to do."""


class Person(NamedTuple):
    """A person in a picture: a box, and how sure the detector is, 0..1.

    The score of a box from elsewhere is None. In a video, `number` is the same in all frames; it begins with 1.
    """

    box: Box
    score: float | None = None
    number: int | None = None


class PersonDetector:
    """Find people in pictures with a Faster R-CNN (MobileNetV3, FPN) of torchvision, trained on COCO.

        detector = PersonDetector.load()
        people = detector.detect("street.jpg")
        result = parser.predict("street.jpg", person_boxes=parsed_boxes(people), return_people=True)

    Args:
        network: in evaluation mode, on `device`.
    """

    def __init__(self, network: Network, device: torch.device) -> None:
        self.network = network
        self.device = device

    @classmethod
    def load(
        cls, weights: str | os.PathLike[str] | None = None, device: str | torch.device | None = None
    ) -> "PersonDetector":
        """Load torchvision's detector.

        Args:
            weights: a file with its state dict; by default torchvision's loader downloads its own weights (74 MB) when
                they are first used, and keeps them.
            device: "cpu", "cuda" ...; default, a CUDA GPU where there is one.

        Raises CheckpointError for a file that holds something else, DetectorError where nothing can be downloaded.
        """
        chosen = choose_device(None if device is None else str(device), for_prediction=True)
        network = _published() if weights is None else _from_file(weights)
        return cls(network.eval().to(chosen), chosen)

    @torch.inference_mode()
    def detect(self, image: PictureLike) -> list[Person]:
        """Return the people in a picture, the surest first."""
        picture = rgb_picture(image)
        height, width = picture.shape[:2]
        smaller = _at_most(picture, LONGEST_SIDE)
        pixels = torch.from_numpy(np.ascontiguousarray(smaller)).to(self.device).permute(2, 0, 1).float() / 255
        found = {name: values.cpu() for name, values in self.network([pixels])[0].items()}
        factors = torch.tensor([width / smaller.shape[1], height / smaller.shape[0]] * 2)
        boxes = (found["boxes"] * factors).clamp(min=0).minimum(torch.tensor([width, height] * 2))
        scores, order = found["scores"].sort(descending=True, stable=True)
        surest_first = zip(boxes[order].tolist(), found["labels"][order].tolist(), scores.tolist(), strict=True)
        return [
            Person((x0, y0, x1, y1), score)
            for (x0, y0, x1, y1), label, score in surest_first
            if label == _PERSON and score >= LEAST_SCORE
        ]


def parsed_boxes(people: Sequence[Person]) -> Boxes:
    """Return the boxes in which people are parsed: a tenth larger on each side, for what the detector cut off.

    They may reach over the edges of the picture, where `HumanParser` cuts them.
    """
    boxes = []
    for (x0, y0, x1, y1), *_ in people:
        across, down = MARGIN * (x1 - x0), MARGIN * (y1 - y0)
        boxes.append((x0 - across, y0 - down, x1 + across, y1 + down))
    return boxes


def _at_most(picture: NDArray[np.uint8], longest: int) -> NDArray[np.uint8]:
    """Return a picture made smaller, where one of its sides is longer."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _published() -> Any:
    from torchvision.models import detection  # takes seconds, and few need it

    weights = detection.FasterRCNN_MobileNet_V3_Large_FPN_Weights.COCO_V1
    try:
        return detection.fasterrcnn_mobilenet_v3_large_fpn(weights=weights, weights_backbone=None, progress=False)
    except (OSError, RuntimeError) as error:  # urllib's errors are OSErrors; RuntimeError: what came is not the file
        raise DetectorError(
            f"the weights of torchvision's person detector could not be downloaded ({error}). Fetch {weights.url} "
            "where there is a network, and name the file with --people-weights"
        ) from error


def _from_file(path: str | os.PathLike[str]) -> Any:
    from torchvision.models.detection import fasterrcnn_mobilenet_v3_large_fpn

    state = read_checkpoint(path)
    network = fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    try:
        network.load_state_dict(state)
    except (RuntimeError, AttributeError, TypeError) as error:  # the latter two: for names that are no text
        reason = " ".join(str(error).split())
        raise CheckpointError(
            f"'{os.fspath(path)}' is not the state dict of torchvision's fasterrcnn_mobilenet_v3_large_fpn "
            f"({reason[:200]}); without --people-weights it is downloaded"
        ) from error
    return network
