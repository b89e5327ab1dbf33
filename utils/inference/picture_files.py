"""Picture files of the formats that people have, as a viewer shows them: upright, RGB."""

import io
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, features

from dataset.layouts import DatasetError
from dataset.reading import decode_stored, header_orientation, too_large

PICTURE_SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".jp2", ".avif"),
    *(".heic", ".heif", ".hif"),
)
OTHER_SUFFIXES = (
    # Raw files of cameras,
    *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mef", ".mos"),
    *(".mrw", ".nef", ".nrw", ".orf", ".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
    # other pictures,
    *(".ai", ".apng", ".cur", ".dds", ".dcm", ".dib", ".emf", ".eps", ".exr", ".fits", ".hdr", ".heics"),
    *(".icns", ".ico", ".j2c", ".j2k", ".jfi", ".jif", ".jpf", ".jps", ".jpx", ".jxl", ".jxr", ".livp"),
    *(".mpo", ".pam", ".pbm", ".pcx", ".pfm", ".pgm", ".pjp", ".pjpeg", ".pnm", ".ppm", ".psb", ".psd"),
    *(".qoi", ".ras", ".sgi", ".svg", ".svgz", ".tga", ".wdp", ".wmf", ".xbm", ".xcf", ".xpm"),
    # and videos.
    *(".3gp", ".asf", ".flv", ".m2ts", ".mpeg", ".mpg", ".mts", ".ogv", ".vob", ".wmv"),
)
"""Suffixes of pictures and videos that are not taken from folders, but counted."""
FORMATS = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WEBP": "WebP",
    "BMP": "BMP",
    "TIFF": "TIFF",
    "GIF": "GIF",
    "JPEG2000": "JPEG 2000",
    "AVIF": "AVIF",
    "HEIF": "HEIC",
}
"""The formats of pictures: Pillow's names, and what people call them."""
_HEIF_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1"}


def decode_upright(data: bytes, name: str | Path) -> NDArray[np.uint8]:
    """Return a picture's bytes as a viewer shows it, turned as its EXIF orientation says: (H, W, 3) uint8 RGB.

    Pixels are decoded as for training and evaluation; formats that not every OpenCV reads (GIF, AVIF, HEIC) by Pillow,
    with the stored colours where they are transparent, and the first picture of several. `name` is what errors call it.

    Raises DatasetError for what is no picture, is truncated, needs a package that is not installed, or has more pixels
    than Pillow's limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, which protects from files that unpack to gigabytes.
    """
    kind = _needs_pillow(data)
    if kind:
        return _decode_with_pillow(data, name, kind)
    orientation = header_orientation(data, name)
    if orientation != 1 and data.startswith((b"II*\0", b"MM\0*")):
        # OpenCV turns some TIFF files even when told not to, and fails on others.
        return _decode_with_pillow(data, name, "TIFF")
    stored = np.ascontiguousarray(_turned(decode_stored(data, name), orientation))
    return np.asarray(cv2.cvtColor(stored, cv2.COLOR_BGR2RGB), dtype=np.uint8)


def rgb_pixels(picture: Image.Image) -> NDArray[np.uint8]:
    """Return a PIL image as (H, W, 3) uint8 RGB, upright as its EXIF orientation says.

    Gray images get three equal channels, 16-bit gray ones lose their lower 8 bits, and of those with transparency the
    stored colours count. Raises ValueError for modes without a range of brightness.
    """
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith("I;16"):
        gray = (np.asarray(upright) >> 8).astype(np.uint8)
        return np.repeat(gray[..., None], 3, axis=2)
    if upright.mode in ("I", "F"):
        raise ValueError(f"a PIL image of mode {upright.mode} has no range of brightness; convert it to L or RGB")
    return np.asarray(upright.convert("RGB"))


def readable_formats() -> dict[str, str]:
    """Return those of `FORMATS` that can be read with what is installed."""
    return {kind: name for kind, name in FORMATS.items() if _lacking_package(kind) is None}


def _lacking_package(kind: str) -> str | None:
    """Return what to install before pictures of a format, by Pillow's name, can be read; None if nothing."""
    if kind == "AVIF" and "avif" not in features.get_supported():
        return "AVIF pictures need Pillow 11.3 or newer: pip install --upgrade pillow"
    if kind == "HEIF":
        try:
            import pillow_heif  # here, because it is an extra
        except ImportError:
            return "HEIC pictures need pillow-heif: pip install pillow-heif"
        pillow_heif.register_heif_opener()
    return None


def _needs_pillow(data: bytes) -> str | None:
    """Return Pillow's name of a picture's format, if it is one of those that Pillow decodes here."""
    if data.startswith((b"GIF87a", b"GIF89a")):
        return "GIF"
    if data[8:16] == b"WEBPVP8X" and len(data) > 20 and data[20] & 2:  # an animation, which not every OpenCV reads
        return "WEBP"
    if data[4:8] == b"ftyp":  # ISO/IEC 14496-12: the size of the box, its type, then brands of 4 bytes
        box = data[8 : int.from_bytes(data[:4], "big")]
        brands = {box[start : start + 4] for start in range(0, len(box), 4)}
        if brands & {b"avif", b"avis"}:
            return "AVIF"
        if brands & _HEIF_BRANDS:
            return "HEIF"
    return None


def _decode_with_pillow(data: bytes, name: str | Path, kind: str) -> NDArray[np.uint8]:
    if needed := _lacking_package(kind):
        raise DatasetError(f"{name}: {needed}")
    try:
        with Image.open(io.BytesIO(data), formats=(kind,)) as picture:
            return rgb_pixels(picture)
    except Image.DecompressionBombError as error:
        raise too_large(name, error) from error
    except (OSError, ValueError, SyntaxError, EOFError, RuntimeError) as error:
        reason = "the file is damaged" if isinstance(error, Image.UnidentifiedImageError) else error
        raise DatasetError(
            f"{name}: Pillow cannot decode these {len(data)} bytes as {FORMATS[kind]} ({reason})"
        ) from error


def _turned(image: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    """Return a view of the stored pixels (H, W, 3) turned and mirrored as an EXIF orientation says."""
    if orientation in (5, 6, 7, 8):
        image = image.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return image
