"""Picture files of every format that is taken: what they show, and what is said of those that cannot be read."""

import importlib.util
import io
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, features

from dataset import reading
from dataset.layouts import DatasetError
from utils.inference.picture_files import FORMATS, decode_upright, readable_formats

HEIC_HEADER = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"
HAS = {"HEIF": importlib.util.find_spec("pillow_heif") is not None, "AVIF": "avif" in features.get_supported()}
EXACT = ("PNG", "BMP", "TIFF", "GIF", "JPEG2000")


def corners() -> NDArray[np.uint8]:
    """Return a picture (48, 64, 3) RGB that looks different from every side."""
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:16, :16], picture[:16, -16:], picture[-16:, :16] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    return picture


def encoded(kind: str, picture: NDArray[np.uint8] | Image.Image | None = None, **options: Any) -> bytes:
    if not HAS.get(kind, True):
        pytest.skip(f"{FORMATS[kind]} cannot be written here")
    if kind == "HEIF":
        readable_formats()  # teaches Pillow to write it, too
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(corners() if picture is None else picture)
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_its_picture(kind: str) -> None:
    seen = decode_upright(encoded(kind), "a")
    assert seen.dtype == np.uint8
    assert seen.shape == (48, 64, 3)
    difference = np.abs(seen.astype(int) - corners())
    assert difference.max() == 0 if kind in EXACT else difference.mean() < 3


@pytest.mark.parametrize("kind", sorted(FORMATS.keys() - {"TIFF", "JPEG"}))  # see test_inference, test_jpeg
@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_cut_files_are_refused_in_one_sentence(
    kind: str, share: float, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    data = encoded(kind, noise)
    with pytest.raises(DatasetError, match=r"a\.x: (OpenCV|Pillow) cannot decode these \d+ bytes as"):
        decode_upright(data[: int(len(data) * share)], "a.x")
    if not cv2.__version__.startswith("4."):  # whose decoders always write lines of their own, which name no file
        assert capfd.readouterr().err == ""
    assert not recwarn.list


@pytest.mark.parametrize("kind", [np.float32, np.int32])
def test_tiff_files_of_32_bits_are_told_from_damaged_ones(
    kind: type[np.generic], capfd: pytest.CaptureFixture[str]
) -> None:
    file = io.BytesIO()
    Image.fromarray(np.zeros((48, 64), kind)).save(file, "TIFF")
    with pytest.raises(DatasetError, match=r"a\.tif: .* or has more than 16 bits a channel: store it with 8 or 16"):
        decode_upright(file.getvalue(), "a.tif")
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_avif_pictures_are_turned_upright(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    png, avif = (decode_upright(encoded(kind, exif=exif), "a") for kind in ("PNG", "AVIF"))
    assert png.shape == avif.shape
    assert np.abs(png.astype(int) - avif).mean() < 3


def test_heic_pictures_are_turned_upright() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # which becomes a transformation of the format itself, as phones write it
    seen = decode_upright(encoded("HEIF", exif=exif.tobytes()), "a.heic")
    assert np.abs(seen.astype(int) - np.rot90(corners(), -1)).mean() < 3


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "JPEG2000", "AVIF", "HEIF"])
def test_transparent_pixels_keep_their_colours(kind: str) -> None:
    transparent = Image.fromarray(corners())
    transparent.putalpha(0 if kind == "GIF" else 1)
    options = {"exact": True} if kind == "WEBP" else {}
    seen = decode_upright(encoded(kind, transparent, **options), "a")
    if kind != "GIF":  # whose writer forgets the colours of transparent pixels
        assert np.abs(seen.astype(int) - corners()).mean() < 6
    assert seen.shape == (48, 64, 3)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
def test_the_first_of_several_pictures_counts(kind: str) -> None:
    other = Image.fromarray(np.full((48, 64, 3), 200, np.uint8))
    seen = decode_upright(encoded(kind, save_all=True, append_images=[other]), "a")
    assert np.abs(seen.astype(int) - corners()).mean() < 3


def test_without_its_package_a_format_is_named_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "get_supported", lambda: ["jpg"])
    with pytest.raises(DatasetError, match=r"^a\.heic: HEIC pictures need pillow-heif: pip install pillow-heif$"):
        decode_upright(HEIC_HEADER, "a.heic")
    with pytest.raises(DatasetError, match=r"^a\.jpg: AVIF pictures need Pillow 11\.3 or newer"):
        decode_upright(HEIC_HEADER.replace(b"heic", b"avif"), "a.jpg")
    assert list(readable_formats()) == ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF", "JPEG2000"]


def test_other_files_of_that_family_are_not_taken_for_pictures() -> None:
    with pytest.raises(DatasetError, match="OpenCV cannot decode these 24 bytes"):
        decode_upright(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "clip.jpg")


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "AVIF"])
def test_pictures_above_pillows_limit_are_allowed_by_pillows_switch(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    data = encoded(kind)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 48 * 64 // 2 - 1)
    with pytest.raises(DatasetError, match=r"^a: has more pixels than .* --large-pictures, and PIL\.Image\.MAX_IMAGE"):
        decode_upright(data, "a")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    assert decode_upright(data, "a").shape == (48, 64, 3)


def test_pictures_above_opencvs_limit_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "OPENCV_PIXELS", 48 * 64 - 1)
    with pytest.raises(DatasetError, match=r"^a: 64 x 48 are more pixels than OpenCV decodes"):
        decode_upright(encoded("PNG"), "a")


def test_gray_tiffs_of_16_bits_lose_their_lower_bits_also_when_turned(tmp_path: Path) -> None:
    gray = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
    picture = Image.fromarray(gray)
    exif = Image.Exif()
    exif[0x0112] = 6
    seen = decode_upright(encoded("TIFF", picture, exif=exif), "a")
    np.testing.assert_array_equal(seen[..., 0], np.rot90(gray >> 8, -1))
