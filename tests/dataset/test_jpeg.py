"""The first picture in a JPEG file: what is behind it does not matter, what is missing of it does."""

import io
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from dataset.jpeg import END, first_picture, lacks_data
from dataset.layouts import DatasetError
from dataset.reading import decode_stored

KINDS: dict[str, dict[str, Any]] = {
    "baseline": {},
    "progressive": {"progressive": True},
    "with restart markers": {"restart_marker_rows": 1},
    "gray": {"mode": "L"},
    "without chroma subsampling": {"subsampling": 0, "quality": 95},
}


def jpeg(mode: str = "RGB", size: tuple[int, int] = (100, 75), **options: Any) -> bytes:
    coarse = np.random.default_rng(1).integers(0, 256, (5, 7, 3), np.uint8)
    picture = cv2.resize(coarse, size, interpolation=cv2.INTER_CUBIC)
    file = io.BytesIO()
    Image.fromarray(picture).convert(mode).save(file, "JPEG", **options)
    return file.getvalue()


def video(number: int = 0) -> bytes:
    """Return what a phone puts behind a motion photo: a box of MP4, and bytes that look like markers among others."""
    noise = np.random.default_rng(number).integers(0, 256, 3000, np.uint8).tobytes()
    return b"\0\0\0\x18ftypmp42\0\0\0\0isommp42" + noise + b"\xff\xda\0\x08\xff\xd9\xff\xda"


@pytest.fixture(params=KINDS)
def whole(request: pytest.FixtureRequest) -> bytes:
    return jpeg(**KINDS[request.param])


@pytest.mark.parametrize(
    "tail",
    [b"", b"\0", bytes(5000), b"trailing bytes", b"\xff\xda", b"\xff\xd9\xff\xda", video(), jpeg(), jpeg()[:200]],
)
def test_what_follows_a_picture_does_not_count(whole: bytes, tail: bytes) -> None:
    assert first_picture(whole + tail) == whole


@pytest.mark.parametrize("lost", [1, 2])
def test_a_picture_without_end_marker_has_all_its_lines(whole: bytes, lost: int) -> None:
    expected = decode_stored(whole, "whole")
    np.testing.assert_array_equal(decode_stored(whole[:-lost], "a.jpg"), expected)


TAILS = {
    "nothing": b"",
    "an end and a scan": END + b"\xff\xda",
    "a video": video(),
    "an end and a video": END + video(),
    "a picture": jpeg(),
    "zeros": bytes(50_000),
    "ones": b"\xff" * 99,
    "words": b"<html>no</html>" * 500,
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
@pytest.mark.parametrize("share", [0.05, 0.4, 0.7, 0.9])
def test_half_a_picture_is_refused_whatever_follows(whole: bytes, share: float, tail: bytes) -> None:
    start = whole.index(b"\xff\xda")
    half = whole[: start + int((len(whole) - start) * share)]
    with pytest.raises(DatasetError, match=r"a\.jpg: the photograph is truncated"):
        decode_stored(half + tail, "a.jpg")


@pytest.mark.parametrize("kind", sorted(KINDS.keys() - {"progressive"}))  # which may end early: blurred, not cut
def test_an_end_marker_does_not_make_half_a_picture_whole(kind: str) -> None:
    half = jpeg(**KINDS[kind])[:-400]
    with pytest.raises(DatasetError, match="truncated"):
        decode_stored(half + END, "a.jpg")


def test_every_cut_that_changes_pixels_is_refused(whole: bytes) -> None:
    expected = decode_stored(whole, "whole")
    for lost in range(3, 40):
        picture = first_picture(whole[:-lost])
        if picture is not None:
            np.testing.assert_array_equal(decode_stored(picture, "a.jpg"), expected)
    assert first_picture(whole[:-12]) is None


def test_a_picture_that_is_gray_at_its_end_is_whole() -> None:
    file = io.BytesIO()
    Image.new("RGB", (64, 48), (128, 128, 128)).save(file, "JPEG")
    assert (decode_stored(file.getvalue(), "gray.jpg") == 128).all()
    assert (decode_stored(file.getvalue()[:-2], "gray.jpg") == 128).all()
    assert not lacks_data(file.getvalue())


def test_a_thumbnail_and_surplus_bytes_between_segments_do_not_end_a_picture() -> None:
    thumbnail = jpeg(size=(16, 12))
    whole = jpeg(comment=thumbnail)
    assert first_picture(whole) == whole
    assert first_picture(whole[:-90]) is None
    surplus = whole[:20] + b"\0\x12" + whole[20:]  # decoders look for the next marker, and so must this
    assert first_picture(surplus) == surplus
    np.testing.assert_array_equal(decode_stored(surplus, "a.jpg"), decode_stored(whole, "a.jpg"))


@pytest.mark.parametrize("content", [b"\xff\xd8", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"\xff\xd8words", jpeg()[:100]])
def test_a_header_alone_is_refused(content: bytes) -> None:
    with pytest.raises(DatasetError, match=r"a\.jpg: (the photograph is truncated|OpenCV cannot decode)"):
        decode_stored(content, "a.jpg")


def test_a_finished_scan_of_a_progressive_picture_is_not_all_of_it() -> None:
    whole = jpeg(progressive=True)
    scans = [index for index in range(len(whole)) if whole[index : index + 2] == b"\xff\xda"]
    assert len(scans) > 5
    for scan in scans[1:]:
        assert first_picture(whole[:scan]) is None
        assert first_picture(whole[:scan] + END + b"behind") is None
