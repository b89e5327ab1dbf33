"""What people hand over as a picture or as boxes: one form of it, or a sentence."""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dataset.geometry import fit_to_crop
from tests.support.tiny_parser import tiny_parser
from utils.inference import inputs as picture_input
from utils.inference.inputs import pixel_regions, rgb_picture

PICTURE = np.random.default_rng(0).integers(0, 256, (9, 7, 3), np.uint8)


@pytest.fixture
def png(tmp_path: Path) -> Path:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    return tmp_path / "a.png"


def test_bytes_and_binary_files_are_pictures(png: Path) -> None:
    data = png.read_bytes()
    with png.open("rb") as file, tempfile.SpooledTemporaryFile() as upload:
        upload.write(data)  # and now stands at its end, like a form's upload that somebody has looked at
        for picture in (data, bytearray(data), memoryview(data), io.BytesIO(data), file, upload):
            np.testing.assert_array_equal(rgb_picture(picture), PICTURE)
        assert not file.closed
    parser = tiny_parser()
    expected = parser.predict(PICTURE)
    for classes in [parser.predict(data), *parser.predict([data, io.BytesIO(data)])]:
        np.testing.assert_array_equal(classes, expected)


def test_streams_that_cannot_go_back_are_read_from_where_they_are(png: Path) -> None:
    class Stream(io.BytesIO):
        def seekable(self) -> bool:
            return False

        def seek(self, *_: int) -> int:
            raise io.UnsupportedOperation

    np.testing.assert_array_equal(rgb_picture(Stream(png.read_bytes())), PICTURE)


@pytest.mark.parametrize(
    ("picture", "message"),
    [
        (np.zeros((8, 8, 3), np.float32), "float32 .* must be uint8 RGB"),
        (np.zeros((8, 8), np.uint8), r"\(8, 8\)"),
        (np.zeros((2, 8, 8, 3), np.uint8), "several pictures as a list"),
        (np.zeros((0, 8, 3), np.uint8), r"\(0, 8, 3\)"),
        (Image.new("F", (8, 8)), "mode F"),
        ("nowhere.jpg", "nowhere.jpg: cannot be read"),
        (__file__, "test_inputs.py: OpenCV cannot decode"),
        (b"", r"^the bytes given as a picture: OpenCV cannot decode these 0 bytes"),
        (b"words", r"^the bytes given as a picture: OpenCV cannot decode these 5 bytes"),
        (io.BytesIO(b"words"), r"^the file .*BytesIO.*: OpenCV cannot decode these 5 bytes"),
        (io.StringIO("words"), r"^the file .*StringIO.* is open as text; open it with mode 'rb'"),
        (None, "a NoneType is no picture; give a path, a file's bytes, a binary file"),
        (17, "a int is no picture"),
    ],
)
def test_what_is_no_picture_gets_a_sentence(picture: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tiny_parser().predict(picture)


def test_files_are_called_by_their_names(png: Path) -> None:
    png.write_bytes(b"words")
    with png.open("rb") as file, pytest.raises(ValueError, match=r"a\.png': OpenCV cannot decode these 5 bytes"):
        rgb_picture(file)


@pytest.mark.parametrize(
    "boxes",
    [(1, 2, 6, 8), [1.5, 2, 6, 8], np.array([1, 2, 6, 8]), 5, (1,)],
)
def test_a_single_flat_box_gets_a_sentence(boxes: Any) -> None:
    with pytest.raises(ValueError, match=r"is not a list of boxes; give even a single box in a list: \[\(x0, y0"):
        tiny_parser().predict(PICTURE, person_boxes=boxes)
    with pytest.raises(ValueError, match="is not a list of boxes"):
        tiny_parser().predict([PICTURE, PICTURE], person_boxes=[None, boxes])


def test_a_flat_box_for_several_pictures_is_counted() -> None:
    flat: Any = (1, 2, 6, 8)
    with pytest.raises(ValueError, match="2 pictures came with 4 lists of person_boxes; give one list for each"):
        tiny_parser().predict([PICTURE, PICTURE], person_boxes=flat)


@pytest.mark.parametrize(
    "box", ["left", (1, 2, None, 8), ("left", 2, 6, 8), (1, 2, 6), ((1, 2), (6, 8)), (0, 0, np.nan, 9)]
)
def test_boxes_of_anything_but_four_numbers_get_a_sentence(box: Any) -> None:
    with pytest.raises(ValueError, match=r"^the box .* is not four numbers x0, y0, x1, y1$"):
        pixel_regions([box], (9, 7))


@pytest.mark.parametrize("box", [(5, 0, 5, 9), (6, 0, 5, 9), (7, 0, 60, 9), (-9, 0, 0, 9)])
def test_boxes_without_a_pixel_of_the_picture_get_a_sentence(box: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"^the box .* is empty or outside the picture of 7 x 9 pixels"):
        tiny_parser().predict(PICTURE, person_boxes=[box])


def test_sides_that_opencv_cannot_warp_get_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    longest = int(min(picture_input._LONGEST_SIDE, 40_000))
    assert fit_to_crop(rgb_picture(np.zeros((1, longest, 3), np.uint8)), (97, 73)).shape == (97, 73, 3)
    monkeypatch.setattr(picture_input, "_LONGEST_SIDE", 32766)
    assert rgb_picture(np.zeros((1, 32766, 3), np.uint8)).shape == (1, 32766, 3)
    with pytest.raises(ValueError, match="a picture of 32767 x 1 pixels has a side too long for OpenCV"):
        rgb_picture(np.zeros((1, 32767, 3), np.uint8))
