"""Reading photographs and label maps, and every way in which their files can be wrong."""

import struct
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from dataset.descriptions import BUILT_IN, DatasetDescription
from dataset.layouts import DatasetError, Sample
from dataset.reading import read_image, read_label, read_sample, save_label

LIP, ADE20K = BUILT_IN["lip"], BUILT_IN["ade20k"]


def write_jpeg(path: Path, **options: Any) -> Path:
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (48, 64, 3), np.uint8))
    picture.save(path, **options)
    return path


def write_label(path: Path, values: Any, mode: str = "L") -> Path:
    picture = Image.fromarray(np.array(values, np.uint8))
    if mode == "P":
        picture.putpalette(LIP.palette.tobytes())
    picture.save(path)
    return path


def write_gray_png(path: Path, *, depth: int, row: bytes) -> Path:
    """Write a one-row gray PNG of fewer than 8 bits, which Pillow reads but does not write."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", len(row) * 8 // depth, 1, depth, 0, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" + row)) + chunk(b"IEND", b"")
    )
    return path


def test_photographs_are_bgr(tmp_path: Path) -> None:
    Image.new("RGB", (5, 4), (250, 10, 90)).save(tmp_path / "red.png")
    image = read_image(tmp_path / "red.png")
    assert image.shape == (4, 5, 3)
    assert image.dtype == np.uint8
    assert image[0, 0].tolist() == [90, 10, 250]


def test_gray_photographs_have_three_channels(tmp_path: Path) -> None:
    Image.new("L", (5, 4), 77).save(tmp_path / "gray.jpg")
    assert np.unique(read_image(tmp_path / "gray.jpg")).tolist() == [77]
    assert read_image(tmp_path / "gray.jpg").shape == (4, 5, 3)


def test_the_exif_orientation_does_not_turn_a_photograph(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # "rotate by 90 degrees to view"
    path = write_jpeg(tmp_path / "turned.jpg", exif=exif)
    turned = cv2.imread(str(path))
    assert turned is not None
    assert turned.shape == (64, 48, 3), "the file must be one that readers turn"
    assert read_image(path).shape == (48, 64, 3)


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("suffix", [".jpg", ".png"])
def test_truncated_photographs_are_errors(tmp_path: Path, suffix: str, share: float) -> None:
    path = write_jpeg(tmp_path / f"cut{suffix}")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DatasetError, match=rf"cut\{suffix}: .*(truncated|damaged)"):
        read_image(path)


def test_a_truncated_photograph_is_noticed_behind_its_complete_thumbnail(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbnail = write_jpeg(tmp_path / "thumbnail.jpg").read_bytes()
    data = write_jpeg(tmp_path / "photo.jpg", comment=thumbnail).read_bytes()
    (tmp_path / "photo.jpg").write_bytes(data[:-100])
    # Some releases of OpenCV give a picture for such a file: the reader must not rely on the decoder.
    monkeypatch.setattr(cv2, "imdecode", lambda *_: np.zeros((48, 64, 3), np.uint8))
    with pytest.raises(DatasetError, match=r"photo\.jpg: the photograph is truncated"):
        read_image(tmp_path / "photo.jpg")
    (tmp_path / "photo.jpg").write_bytes(data + b"trailing bytes")
    assert read_image(tmp_path / "photo.jpg").shape == (48, 64, 3)


@pytest.mark.parametrize("content", [b"", b"<html>404</html>"])
def test_files_that_are_no_pictures_are_errors(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(DatasetError, match=rf"a\.jpg: .* cannot decode these {len(content)} bytes"):
        read_image(tmp_path / "a.jpg")
    (tmp_path / "a.png").write_bytes(content)
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read as a label PNG"):
        read_label(tmp_path / "a.png", LIP)


def test_missing_files_are_errors(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.jpg: cannot be read \(No such file or directory\)"):
        read_image(tmp_path / "a.jpg")
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read as a label PNG \(No such file or directory\)"):
        read_label(tmp_path / "a.png", LIP)


@pytest.mark.parametrize("mode", ["L", "P"])
def test_label_values_and_palette_indices_are_classes(tmp_path: Path, mode: str) -> None:
    label = read_label(write_label(tmp_path / "a.png", [[0, 3, 19], [255, 7, 7]], mode), LIP)
    assert label.dtype == np.uint8
    assert label.tolist() == [[0, 3, 19], [255, 7, 7]]


def test_few_colours_in_a_palette_png_of_fewer_bits(tmp_path: Path) -> None:
    picture = Image.fromarray(np.array([[0, 3, 2, 1, 0]], np.uint8))
    picture.putpalette(LIP.palette.tobytes())
    picture.save(tmp_path / "a.png", bits=2)
    assert read_label(tmp_path / "a.png", LIP).tolist() == [[0, 3, 2, 1, 0]]


def test_ade20k_labels_start_at_one(tmp_path: Path) -> None:
    label = read_label(write_label(tmp_path / "a.png", [[0, 1, 150]]), ADE20K)
    assert label.tolist() == [[255, 0, 149]]


def test_another_ignore_value_becomes_255(tmp_path: Path) -> None:
    description = DatasetDescription(name="mine", class_names=("a", "b"), ignore_label=9)
    assert read_label(write_label(tmp_path / "a.png", [[9, 1, 0]]), description).tolist() == [[255, 1, 0]]


@pytest.mark.parametrize(
    ("description", "values", "message"),
    [
        (LIP, [[20, 254, 3]], "the values 20, 254 are no labels of lip, .* 0 .. 19 and ignored pixels as 255"),
        (ADE20K, [[151, 255]], "the values 151, 255 are no labels of ade20k, .* 1 .. 150 and ignored pixels as 0"),
        (LIP, [list(range(20, 40))], "20, 21, 22, 23, 24, 25, 26, 27, 28, 29 and 10 more are"),
    ],
)
def test_stray_values_are_errors(
    tmp_path: Path, description: DatasetDescription, values: list[list[int]], message: str
) -> None:
    path = write_label(tmp_path / "a.png", values)
    with pytest.raises(DatasetError, match=rf"a\.png: .*{message}"):
        read_label(path, description)


def test_the_first_stray_pixel_is_named(tmp_path: Path) -> None:
    values = np.zeros((9, 7), np.uint8)
    values[5, 2:4] = 40, 33
    values[6, 0] = 20
    with pytest.raises(DatasetError, match=r"values 20, 33, 40 .*; the first such pixel is x = 2, y = 5, which is 40$"):
        read_label(write_label(tmp_path / "a.png", values), LIP)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "1", "I;16"])
def test_other_modes_are_errors(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.png"
    (Image.fromarray(np.zeros((2, 2), np.uint16)) if mode == "I;16" else Image.new(mode, (2, 2))).save(path)
    with pytest.raises(DatasetError, match=rf"a\.png: .*modes L and P\), this one is {mode.split(';')[0]}"):
        read_label(path, LIP)


@pytest.mark.parametrize(("depth", "row"), [(2, b"\x1b"), (4, b"\x01\x23")])
def test_gray_values_of_fewer_bits_are_errors(tmp_path: Path, depth: int, row: bytes) -> None:
    path = write_gray_png(tmp_path / "a.png", depth=depth, row=row)
    with pytest.raises(DatasetError, match=rf"a\.png: .*this one is gray of fewer than 8 bits \(L;{depth}\)"):
        read_label(path, LIP)


def test_jpegs_are_no_labels(tmp_path: Path) -> None:
    Image.new("L", (8, 8)).save(tmp_path / "a.png", format="JPEG")
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read as a label PNG"):
        read_label(tmp_path / "a.png", LIP)


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_truncated_labels_are_errors(tmp_path: Path, share: float) -> None:
    path = write_label(tmp_path / "a.png", np.random.default_rng(0).integers(0, 20, (90, 90)))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    with pytest.raises(DatasetError, match=r"a\.png: cannot be read as a label PNG"):
        read_label(path, LIP)


@settings(max_examples=25, deadline=None)
@given(
    name=st.sampled_from(sorted(BUILT_IN)),
    shape=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    seed=st.integers(0, 1000),
)
def test_saved_labels_read_back_the_same(
    tmp_path_factory: pytest.TempPathFactory, name: str, shape: tuple[int, int], seed: int
) -> None:
    description = BUILT_IN[name]
    classes = np.r_[: description.num_classes, 255].astype(np.uint8)
    label = np.random.default_rng(seed).choice(classes, shape)
    path = tmp_path_factory.mktemp("labels") / "a.png"
    save_label(path, label, description)
    assert (read_label(path, description) == label).all()


@pytest.mark.parametrize(("name", "colour"), [("lip", (255, 85, 0)), ("ade20k", (128, 0, 128))])
def test_saved_labels_show_the_colours_of_their_classes(tmp_path: Path, name: str, colour: tuple[int, ...]) -> None:
    save_label(tmp_path / "a.png", np.array([[5, 255]], np.uint8), BUILT_IN[name])
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.mode == "P"
        assert np.asarray(picture.convert("RGB")).tolist() == [[list(colour), [224, 224, 192]]]


@pytest.mark.parametrize("name", ["lip", "ade20k"])
def test_saved_labels_without_a_palette_are_their_values_to_every_program(tmp_path: Path, name: str) -> None:
    description = BUILT_IN[name]
    label = np.r_[: description.num_classes, 255].astype(np.uint8)[None]
    save_label(tmp_path / "a.png", label, description, with_palette=False)
    np.testing.assert_array_equal(read_label(tmp_path / "a.png", description), label)
    stored = cv2.imread(str(tmp_path / "a.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(stored, description.class_to_stored()[label])


def test_the_colour_map_of_other_datasets() -> None:
    # The first colours of PASCAL VOC: background, aeroplane, bicycle, bird, ..., and its border.
    voc = BUILT_IN["atr"].palette
    assert voc[:5].tolist() == [[0, 0, 0], [128, 0, 0], [0, 128, 0], [128, 128, 0], [0, 0, 128]]
    assert voc[[8, 20, 255]].tolist() == [[64, 0, 0], [0, 64, 128], [224, 224, 192]]
    assert len(np.unique(voc, axis=0)) == 256
    assert len(np.unique(BUILT_IN["cihp"].palette[:20], axis=0)) == 20


def test_a_sample_is_of_one_size(tmp_path: Path) -> None:
    sample = Sample("a", write_jpeg(tmp_path / "a.jpg"), write_label(tmp_path / "a.png", np.zeros((48, 63))))
    with pytest.raises(DatasetError, match=r"a\.jpg is 64 x 48 pixels, but .*a\.png 63 x 48"):
        read_sample(sample, LIP)
    write_label(tmp_path / "a.png", np.zeros((48, 64)))
    image, label = read_sample(sample, LIP)
    assert image.shape == (48, 64, 3)
    assert label.shape == (48, 64)


@pytest.mark.parametrize(
    ("orientation", "reason"),
    [
        (6, r"viewers turn the photograph, as its EXIF orientation \(6\) says, but here pixels are taken as stored"),
        (None, "one of them was turned, perhaps as an EXIF orientation said"),
    ],
)
def test_a_label_that_fits_the_turned_photograph_is_explained(
    tmp_path: Path, orientation: int | None, reason: str
) -> None:
    exif = Image.Exif()
    if orientation is not None:
        exif[0x0112] = orientation
    photograph = write_jpeg(tmp_path / "a.jpg", exif=exif)
    sample = Sample("a", photograph, write_label(tmp_path / "a.png", np.zeros((64, 48))))
    with pytest.raises(DatasetError, match=rf"they must have one size\. With exchanged sides they would fit: {reason}"):
        read_sample(sample, LIP)
    write_label(tmp_path / "a.png", np.zeros((64, 47)))
    with pytest.raises(DatasetError, match=r"they must have one size$"):
        read_sample(sample, LIP)


def test_a_sample_without_label_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"a\.jpg comes without a label map"):
        read_sample(Sample("a", write_jpeg(tmp_path / "a.jpg"), None), LIP)
