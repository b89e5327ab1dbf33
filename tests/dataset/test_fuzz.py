"""Any bytes, through the doors that users use: a result, or one of the errors that end a command in a sentence."""

import json
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dataset.descriptions import DatasetDescription, DatasetError, list_samples, load_description
from dataset.reading import exif_orientation, label_colours, read_image, read_label
from utils.prediction.inputs import InputError, Source, read_boxes

TWO = DatasetDescription(name="two", class_names=("no", "yes"))
PIXELS = np.random.default_rng(0).integers(0, 2, (12, 9, 3), np.uint8)
PICTURES = [cv2.imencode(suffix, PIXELS)[1].tobytes() for suffix in (".jpg", ".png", ".webp")]
LABEL = cv2.imencode(".png", PIXELS[..., 0])[1].tobytes()
OWN = json.dumps({"name": "two", "classes": ["no", "yes"], "flip_pairs": [[0, 1]], "ignore_label": 255}).encode()
BOXES = json.dumps({"a.png": [[0, 0, 5, 5.5]]}).encode()
VALUES = st.recursive(st.none() | st.booleans() | st.integers() | st.floats() | st.text(), st.lists, max_leaves=6)

fuzzed = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def sentence(read: Callable[[], object], *, otherwise: str) -> str:
    """Return what is wrong with what is read, or `otherwise`; any other error is the test's."""
    try:
        read()
    except (DatasetError, InputError) as error:
        return str(error)
    return otherwise


@st.composite
def damaged(draw: st.DrawFn, *originals: bytes) -> bytes:
    """Draw some bytes, or a file with some of its bytes changed, and cut anywhere."""
    content = bytearray(draw(st.sampled_from(originals) | st.binary(min_size=1)))
    for _ in range(draw(st.integers(0, 4))):
        content[draw(st.integers(0, len(content) - 1))] = draw(st.integers(0, 255))
    return bytes(content[: draw(st.integers(0, len(content)) | st.just(len(content)))])


@fuzzed
@given(content=damaged(*PICTURES))
@pytest.mark.filterwarnings("ignore")
def test_photographs(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    assert exif_orientation(tmp_path / "a.jpg") in range(1, 9)
    assert "a.jpg" in sentence(lambda: read_image(tmp_path / "a.jpg"), otherwise="a.jpg")


@fuzzed
@given(content=damaged(LABEL))
@pytest.mark.filterwarnings("ignore")
def test_labels(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(content)
    assert "a.png" in sentence(lambda: read_label(tmp_path / "a.png", TWO), otherwise="a.png")
    assert "a.png" in sentence(lambda: label_colours(tmp_path / "a.png"), otherwise="a.png")


@fuzzed
@given(
    ids=damaged(b"a\n../a.jpg\n"), description=damaged(OWN), key=st.sampled_from(sorted(json.loads(OWN))), value=VALUES
)
def test_lists_and_descriptions(ids: bytes, description: bytes, key: str, value: object, tmp_path: Path) -> None:
    for folder in ("val_images", "val_segmentations"):
        (tmp_path / folder).mkdir(exist_ok=True)
    (tmp_path / "val_images/a.jpg").write_bytes(PICTURES[0])
    (tmp_path / "val_segmentations/a.png").write_bytes(LABEL)
    (tmp_path / "val_id.txt").write_bytes(ids)
    for content in (description, json.dumps(json.loads(OWN) | {key: value}).encode(), OWN):
        (tmp_path / "dataset.json").write_bytes(content)
        said = sentence(lambda: list_samples(tmp_path, load_description(tmp_path), "val"), otherwise=str(tmp_path))
        assert str(tmp_path) in said


@fuzzed
@given(content=damaged(BOXES), value=VALUES)
def test_boxes(content: bytes, value: object, tmp_path: Path) -> None:
    pictures = [Source(tmp_path / "a.png", "a.png", "a")]
    for boxes in (content, json.dumps({"a.png": value}).encode(), json.dumps({"a.png": [value]}).encode()):
        (tmp_path / "boxes.json").write_bytes(boxes)
        said = sentence(lambda: read_boxes(tmp_path / "boxes.json", pictures), otherwise="boxes.json")
        assert "boxes.json" in said
