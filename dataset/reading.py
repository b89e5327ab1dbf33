"""Photographs and label maps from disk, and predicted label maps back to it.

Every error names the file and the reason: a training run reads some hundred thousand files, and "cannot
decode" alone helps nobody.
"""

import contextlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile

from dataset import IGNORE_LABEL, jpeg
from dataset.descriptions import DatasetDescription
from dataset.files import first_few, open_regular, read_regular
from dataset.layouts import DatasetError, Sample
from dataset.writing import write_bytes

OPENCV_PIXELS = 2**30
"""What OpenCV decodes unless OPENCV_IO_MAX_IMAGE_PIXELS in the environment says otherwise."""

# What cannot be decoded is said here, once and with the file's name, of which the decoders' own lines know nothing.
if "OPENCV_LOG_LEVEL" not in os.environ:
    _set_log_level = getattr(cv2, "setLogLevel", None) or cv2.utils.logging.setLogLevel  # OpenCV 4, or 5
    _set_log_level(0)  # silent
warnings.filterwarnings("ignore", "Corrupt EXIF data", UserWarning, r"PIL\.")


def read_image(path: str | Path) -> NDArray[np.uint8]:
    """Return a photograph, (H, W, 3) uint8, BGR as OpenCV reads and the published weights expect.

    The pixels come as they are stored, whatever the EXIF orientation says, since that is what the labels were
    drawn on. Raises DatasetError where the file is missing, no picture, truncated, or too large.
    """
    return decode_stored(read_bytes(path), path)


def read_label(path: str | Path, description: DatasetDescription) -> NDArray[np.uint8]:
    """Return a label map, (H, W) uint8 class indices, 255 = ignore.

    The file is a PNG of 8 bit gray values, or with a palette, whose indices count. Raises DatasetError for
    any other kind of file, and for values that the description gives no meaning.
    """
    stored = _read_stored_label(path)
    table = description.stored_to_class()
    values = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
    stray = [int(value) for value in values if table[value] < 0]
    if stray:
        last = description.first_label + description.num_classes - 1
        y, x = np.argwhere(table[stored] < 0)[0]
        raise DatasetError(
            f"{path}: the values {first_few(stray, 10)} are no labels of {description.name}, whose classes are "
            f"stored as {description.first_label} .. {last} and ignored pixels as {description.ignore_label}; "
            f"the first such pixel is x = {x}, y = {y}, which is {stored[y, x]}"
        )
    return table.astype(np.uint8)[stored]


def read_sample(sample: Sample, description: DatasetDescription) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the photograph (H, W, 3) and the label map (H, W) of a sample, which must be of one size."""
    if sample.label_path is None:
        raise DatasetError(f"{sample.image_path} comes without a label map; list its split with labels")
    image, label = read_image(sample.image_path), read_label(sample.label_path, description)
    check_same_size(sample.image_path, image, sample.label_path, label)
    return image, label


def read_people(sample: Sample) -> NDArray[np.uint8] | None:
    """Return the person map of a sample, (H, W) uint8: 0 is nobody, 1, 2, ... the persons; None where there is none.

    The file is a PNG as label maps are (`Human_ids/` of CIHP). Raises DatasetError for any other kind of file.
    """
    return None if sample.people_path is None else _read_stored_label(sample.people_path)


def check_same_size(
    image_path: Path, image: NDArray[np.uint8], label_path: Path | None, label: NDArray[np.uint8]
) -> None:
    """Raise DatasetError where a photograph and its label map, or person map, differ in size."""
    if image.shape[:2] == label.shape:
        return
    reason = ""
    if image.shape[1::-1] == label.shape:
        orientation = exif_orientation(image_path)
        reason = ". With exchanged sides they would fit: " + (
            f"viewers turn the photograph, as its EXIF orientation ({orientation}) says, but here pixels are taken as "
            "stored; store it turned and without an orientation, or turn the label"
            if orientation != 1
            else "one of them was turned, perhaps as an EXIF orientation said that the photograph no longer has"
        )
    raise DatasetError(
        f"{image_path} is {image.shape[1]} x {image.shape[0]} pixels, but {label_path} "
        f"{label.shape[1]} x {label.shape[0]}; they must have one size{reason}"
    )


def save_label(
    path: str | Path,
    label: NDArray[np.uint8],
    description: DatasetDescription,
    *,
    with_palette: bool = True,
) -> None:
    """Write a label map (H, W) of class indices as a PNG with a palette in the dataset's colours, or 8-bit gray.

    The values are stored as the dataset's own files store them, so `read_label` returns the same map. Raises OSError as
    `save_picture` does.
    """
    picture = Image.fromarray(description.class_to_stored()[label])  # mode L; the palette makes it P
    if with_palette:
        table = description.stored_to_class()
        colours = description.palette[np.where(table < 0, IGNORE_LABEL, table)]
        picture.putpalette(colours.tobytes())
    save_picture(path, picture, "PNG")


def save_picture(path: str | Path, picture: Image.Image, file_format: str, **options: Any) -> None:
    """Write a picture whole or not at all, with options of Pillow's for the format. Raises OSError as `whole_file`."""
    content = io.BytesIO()  # where Pillow itself writes to a disk that is full, it may say nothing
    picture.save(content, file_format, **options)
    write_bytes(path, content.getbuffer())


def exif_orientation(path: str | Path) -> int:
    """Return a photograph's EXIF orientation, 1 .. 8, from its header; 1, upright, where it has none or no header."""
    try:
        with open_regular(path) as file, Image.open(file) as picture:
            return orientation_of(picture)
    except Exception:  # what is wrong with the file, the one who reads its pixels says
        return 1


def label_colours(path: str | Path) -> list[tuple[int, int, int]] | None:
    """Return the palette of a label PNG, RGB by stored value, from its header; None where it has none.

    Raises DatasetError where the file is no PNG.
    """
    with _label_png(path) as picture:
        if picture.mode != "P" or picture.palette is None:
            return None
        colours = picture.palette.getdata()[1]
    return [(colours[i], colours[i + 1], colours[i + 2]) for i in range(0, len(colours) - 2, 3)]


def read_bytes(path: str | Path) -> bytes:
    """Return what is in a file; raises DatasetError where it cannot be read."""
    try:
        return read_regular(path)
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error


def decode_stored(data: bytes, name: str | Path) -> NDArray[np.uint8]:
    """Return the pixels of a photograph's bytes as they are stored, (H, W, 3) uint8 BGR; see `read_image`.

    `name` is what errors call it. The size is judged by the header, see `header_orientation`, before the rest.
    """
    header_orientation(data, name)
    picture = jpeg.first_picture(data) if data.startswith(jpeg.START) else data
    if picture is None:
        raise _truncated(name)
    try:
        image = cv2.imdecode(np.frombuffer(picture, np.uint8), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    except cv2.error:  # for an empty file, and for headers that promise an absurd size
        image = None
    if image is None:
        reason = "the file is damaged or of another format"
        if data.startswith((b"II*\0", b"MM\0*")):
            reason = "the TIFF file is damaged, or has more than 16 bits a channel: store it with 8 or 16"
        raise DatasetError(f"{name}: OpenCV cannot decode these {len(data)} bytes as a photograph; {reason}")
    # Decoders fill what a JPEG lacks with mid-gray, and some releases of OpenCV say nothing.
    if picture.startswith(jpeg.START) and (image[-1, -1] == 128).all() and jpeg.lacks_data(picture):
        raise _truncated(name)
    return image.astype(np.uint8, copy=False)


def _truncated(name: str | Path) -> DatasetError:
    return DatasetError(f"{name}: the photograph is truncated; fetch the file again")


def header_orientation(data: bytes, name: str | Path) -> int:
    """Return the EXIF orientation 1 .. 8 of a picture's bytes; 1, upright, where it has none or the header no format.

    Raises DatasetError for more pixels than Pillow's limit, twice `PIL.Image.MAX_IMAGE_PIXELS`, which protects from
    files that unpack to gigabytes, or than OpenCV decodes.
    """
    try:
        with Image.open(io.BytesIO(data)) as picture:
            if picture.width * picture.height > OPENCV_PIXELS:
                raise DatasetError(f"{name}: {picture.width} x {picture.height} are more pixels than OpenCV decodes")
            return orientation_of(picture)
    except DatasetError:
        raise
    except Image.DecompressionBombError as error:
        raise too_large(name, error) from error
    except Exception:  # Pillow has many ways to dislike a header; whether there are pixels, the decoder says
        return 1


def too_large(name: str | Path, error: Exception) -> DatasetError:
    """Return what to say of a picture with more pixels than Pillow's limit, of which `error` is Pillow's word."""
    reason = str(error).rstrip(".")
    return DatasetError(
        f"{name}: has more pixels than Pillow takes for harmless ({reason}); for pictures that you trust there are "
        "predict.py --large-pictures, and PIL.Image.MAX_IMAGE_PIXELS = None in Python"
    )


def orientation_of(picture: Image.Image) -> int:
    """Return the EXIF orientation of an opened picture, 1 .. 8; 1, upright, where it has none that is one."""
    orientation = picture.getexif().get(ExifTags.Base.Orientation, 1)
    return orientation if orientation in range(1, 9) else 1


def _read_stored_label(path: str | Path) -> NDArray[np.uint8]:
    """Return the stored values of a label PNG, (H, W) uint8."""
    with _label_png(path) as picture:
        # Pillow spreads gray values of fewer than 8 bits over 0 .. 255, which changes the labels.
        stretched = picture.mode == "L" and bool(picture.tile) and picture.tile[0][3] != "L"
        if picture.mode not in ("L", "P") or stretched:
            mode = f"gray of fewer than 8 bits ({picture.tile[0][3]})" if stretched else picture.mode
            raise DatasetError(
                f"{path}: a label map is a PNG of 8 bit gray values or with a palette (Pillow's modes L "
                f"and P), this one is {mode}; store its class indices as one of them"
            )
        return np.asarray(picture)


@contextlib.contextmanager
def _label_png(path: str | Path) -> Iterator[ImageFile.ImageFile]:
    """Give an opened label PNG; what cannot be read of it in the block is a DatasetError."""
    try:
        with open_regular(path) as file, Image.open(file, formats=("PNG",)) as picture:
            yield picture
    except DatasetError:
        raise
    # Pillow reports damaged files as any of these, according to where the damage is.
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or error
        raise DatasetError(f"{path}: cannot be read as a label PNG ({reason})") from error
