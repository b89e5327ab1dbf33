"""The person detector: what of torchvision's findings counts, boxes in the picture's own pixels, its weights' file."""

import urllib.error
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.models import detection

from dataset.command import CommandError
from utils.checkpoint.files import CheckpointError
from utils.inference.people import LONGEST_SIDE, Person, PersonDetector, parsed_boxes

CPU = torch.device("cpu")
BIAS = "roi_heads.box_predictor.cls_score.bias"


class StubNetwork:
    """Finds the same in every picture, in fractions of its sides."""

    def __init__(self, *found: tuple[tuple[float, float, float, float], int, float]) -> None:
        self.found = found
        self.seen: list[Tensor] = []

    def __call__(self, pictures: list[Tensor]) -> list[dict[str, Tensor]]:
        self.seen += pictures
        height, width = pictures[0].shape[1:]
        boxes = torch.tensor([box for box, _, _ in self.found]).reshape(-1, 4)
        return [
            {
                "boxes": boxes * torch.tensor([width, height, width, height]),
                "labels": torch.tensor([label for _, label, _ in self.found]),
                "scores": torch.tensor([score for _, _, score in self.found]),
            }
        ]


def test_only_people_of_whom_it_is_sure_count_the_surest_first() -> None:
    network = StubNetwork(
        ((0.1, 0.1, 0.3, 0.9), 1, 0.6),
        ((0.5, 0.1, 0.8, 0.9), 1, 0.9),
        ((0.0, 0.0, 0.5, 0.5), 17, 0.99),  # a cat
        ((0.0, 0.0, 0.5, 0.5), 1, 0.3),
    )
    people = PersonDetector(network, CPU).detect(np.full((100, 200, 3), 51, np.uint8))
    assert [person.score for person in people] == pytest.approx([0.9, 0.6])
    assert people[0].box == pytest.approx((100, 10, 160, 90))
    assert network.seen[0].shape == (3, 100, 200)
    assert network.seen[0].unique().tolist() == pytest.approx([0.2])  # RGB, 0..1


def test_large_pictures_are_made_smaller_and_boxes_larger_again() -> None:
    network = StubNetwork(((0.25, 0.5, 0.75, 1.2), 1, 0.9))
    picture = np.zeros((3000, 4000, 3), np.uint8)
    picture[..., 0] = 255
    (person,) = PersonDetector(network, CPU).detect(picture)
    assert max(network.seen[0].shape) == LONGEST_SIDE
    assert network.seen[0].amax(dim=(1, 2)).tolist() == [1, 0, 0]
    assert person.box == pytest.approx((1000, 1500, 3000, 3000), abs=2)  # and ends with the picture


def test_people_are_parsed_with_a_tenth_around_them() -> None:
    assert parsed_boxes([Person((10, 20, 110, 220))]) == [pytest.approx((0, 0, 120, 240))]
    assert parsed_boxes([]) == []


def test_nobody_is_an_empty_list() -> None:
    assert PersonDetector(StubNetwork(), CPU).detect(np.zeros((9, 9, 3), np.uint8)) == []


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file with the state dict of a detector that has learned nothing."""
    path = tmp_path_factory.mktemp("detector") / "detector.pth"
    network = detection.fasterrcnn_mobilenet_v3_large_fpn(weights=None, weights_backbone=None)
    torch.save(network.state_dict(), path)
    return path


def test_a_state_dict_in_a_file_is_loaded(weights: Path) -> None:
    detector = PersonDetector.load(weights, "cpu")
    own: Any = detector.network
    assert not own.training
    for name, tensor in torch.load(weights, weights_only=True).items():
        assert torch.equal(own.state_dict()[name], tensor)
    people = detector.detect(np.random.default_rng(0).integers(0, 256, (64, 48, 3), dtype=np.uint8))
    assert all(isinstance(person, Person) for person in people)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop(BIAS), f'Missing key.* "{BIAS}"'),
        (lambda state: state.update(extra=torch.zeros(1)), 'Unexpected key.* "extra"'),
        (lambda state: state.update({BIAS: torch.zeros(7)}), f"size mismatch for {BIAS}"),
        (lambda state: state.update({3: torch.zeros(7)}), "'int' object"),
        (lambda state: state.update({b"x": torch.zeros(7)}), "bytes"),
    ],
)
def test_other_files_are_refused(weights: Path, tmp_path: Path, change: Any, message: str) -> None:
    state = torch.load(weights, weights_only=True)
    change(state)
    torch.save(state, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=f"other.pth' is not the state dict of torchvision's .*{message}"):
        PersonDetector.load(tmp_path / "other.pth", "cpu")
    with pytest.raises(CheckpointError, match=r"missing\.pth' does not exist"):
        PersonDetector.load(tmp_path / "missing.pth", "cpu")


@pytest.mark.parametrize(
    "error", [urllib.error.URLError("Name or service not known"), RuntimeError("invalid hash value"), OSError("full")]
)
def test_where_nothing_can_be_downloaded_one_sentence_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(**_: Any) -> Any:
        raise error

    monkeypatch.setattr(detection, "fasterrcnn_mobilenet_v3_large_fpn", refuse)
    with pytest.raises(CommandError, match=r"could not be downloaded \(.*\). Fetch https://.*--people-weights"):
        PersonDetector.load()
