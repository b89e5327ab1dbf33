"""Turn the Clothing Co-Parsing repository into a dataset in the LIP layout.

    git clone https://github.com/bearpaw/clothing-co-parsing
    python -m dataset.prepare_ccp --source clothing-co-parsing --output data/ccp

Yang, Luo, Lin: "Clothing Co-Parsing by Joint Image Segmentation and Labeling", CVPR 2014, published under the
Apache License 2.0. Its photographs 0001 to 1004 have labels by pixel, of 59 tags, which become 15 classes.
"""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import functools
import io
import sys
import zlib
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from dataset.command import run_command
from dataset.descriptions import DESCRIPTION_FILE, DatasetDescription
from dataset.files import first_few, read_regular, show
from dataset.interrupts import left_to_this_process
from dataset.layouts import LAYOUTS, DatasetError
from dataset.options import OptionParser
from dataset.reading import read_image, save_label, save_picture
from dataset.writing import check_writable, write_json, write_lines

REPOSITORY = "github.com/bearpaw/clothing-co-parsing"
LABELLED_PHOTOGRAPHS = 1004
TRAIN, VAL = 704, 200
# One of the 1,004 photographs, 0536, has no foreground and is left out. It is among the first 805 of the random
# order, so these give 804 photographs for training, and the other 199 are for validation.
TRAIN_OF_ALL = 805
SMALLEST_FOREGROUND = 0.02
MARGIN = 0.06
LONGEST_SIDE = 512
JPEG_QUALITY = 88
_COMPRESSED = 15  # miCOMPRESSED of the MAT-File Format, version 5: a zlib stream

CLASS_TAGS = {
    "Background": "null",
    "Hat": "hat",
    "Hair": "hair",
    "Glasses": "glasses sunglasses",
    "Skin": "skin",
    "Upper-clothes": "blouse bodysuit bra hoodie intimate jumper shirt sweater sweatshirt t-shirt top vest cardigan "
    "tie cape",
    "Coat": "coat jacket blazer suit",
    "Dress": "dress romper swimwear",
    "Pants": "pants jeans leggings shorts panties",
    "Skirt": "skirt",
    "Hosiery": "socks stockings tights",
    "Shoes": "boots clogs flats heels loafers pumps sandals shoes sneakers wedges",
    "Bag": "bag purse wallet",
    "Scarf": "scarf",
    "Accessory": "accessories belt bracelet earrings gloves necklace ring watch",
}
CCP = DatasetDescription(name="ccp", class_names=tuple(CLASS_TAGS))


def split_ids(*, all_photographs: bool = False) -> dict[str, list[str]]:
    """Return the ids of each split, sorted, as a fixed random order of the photographs deals them out.

    The published split trains on 704 and validates on 200, and leaves 100 for later; with `all_photographs`
    those are used as well. An id's split does not depend on which photographs are there.
    """
    order = np.random.default_rng(2024).permutation(np.arange(1, LABELLED_PHOTOGRAPHS + 1))
    train, end = (TRAIN_OF_ALL, LABELLED_PHOTOGRAPHS) if all_photographs else (TRAIN, TRAIN + VAL)
    numbers = {"train": order[:train], "val": order[train:end]}
    return {split: [f"{number:04d}" for number in sorted(own)] for split, own in numbers.items()}


def prepare(source: Path, output: Path, *, all_photographs: bool = False) -> dict[str, list[str]]:
    """Write the dataset and return the ids written by split. Photographs without foreground are left out.

    The id lists and `dataset.json` come last, so a folder without them is one that was not finished. Raises
    DatasetError where `source` is not the repository, a file of it is damaged, or `output` holds another split, and
    OSError where `output` cannot be written.
    """
    table = class_table(source)
    splits = split_ids(all_photographs=all_photographs)
    if not any(_is_there(source, name) for ids in splits.values() for name in ids):
        raise DatasetError(
            f"{source} has none of the photographs 0001 to {LABELLED_PHOTOGRAPHS} together with its label: "
            f"expected photos/NNNN.jpg and annotations/pixel-level/NNNN.mat, as in {REPOSITORY}"
        )
    _require_same_split(output, splits)
    check_writable(output / DESCRIPTION_FILE)
    for split in splits:
        (output / f"{split}_id.txt").unlink(missing_ok=True)
    written = {split: _write_split(source, output, split, ids, table) for split, ids in splits.items()}
    for split, ids in written.items():
        write_lines(output / f"{split}_id.txt", ids)
    keys = ("name", "classes", "flip_pairs", "ignore_label")
    write_json(output / DESCRIPTION_FILE, {key: CCP.to_dict()[key] for key in keys})
    return written


def _require_same_split(output: Path, splits: dict[str, list[str]]) -> None:
    """Raise DatasetError where an earlier run has split the photographs differently."""
    for split, ids in splits.items():
        folders = [output / folder for folder in LAYOUTS["lip"][split][:2]]
        others = {path.stem for folder in folders for path in folder.glob("[!.]*") if path.is_file()} - set(ids)
        if others:
            raise DatasetError(
                f"{folders[0]} has photographs that are not in this {split} split ({min(others)} "
                f"and {len(others) - 1} others); write to a new folder, or delete this one first"
            )


def _write_split(source: Path, output: Path, split: str, ids: list[str], table: NDArray[np.uint8]) -> list[str]:
    """Write the photographs and label maps of a split that `source` has; return their ids."""
    images, labels = (output / folder for folder in LAYOUTS["lip"][split][:2])
    images.mkdir(parents=True, exist_ok=True)  # of an empty split, too
    labels.mkdir(parents=True, exist_ok=True)
    written = []
    for name in tqdm([name for name in ids if _is_there(source, name)], desc=split, disable=None):
        photograph, label = read_pair(source, name, table)
        if np.count_nonzero(label) < SMALLEST_FOREGROUND * label.size:
            continue
        picture, label = crop_and_scale(photograph, label)
        save_picture(images / f"{name}.jpg", picture, "JPEG", quality=JPEG_QUALITY)
        save_label(labels / f"{name}.png", label, CCP)
        written.append(name)
    return written


def class_table(source: Path) -> NDArray[np.uint8]:
    """Return the class of each tag number, from the repository's own list of tags; 255 for numbers beyond it."""
    path = source / "label_list.mat"
    if not path.is_file():
        raise DatasetError(
            f"{source} is not the Clothing Co-Parsing repository: it has no label_list.mat. "
            f"Clone {REPOSITORY} and name its folder with --source"
        )
    tags = [str(np.squeeze(tag)) for tag in _read_mat(path, "label_list", most_bytes=2**16).ravel()]
    class_of_tag = {tag: index for index, names in enumerate(CLASS_TAGS.values()) for tag in names.split()}
    unknown = [tag[:40] for tag in tags if tag not in class_of_tag]
    if unknown:
        raise DatasetError(f"{path} lists tags that belong to no class here: {first_few(unknown, 5)}")
    if not 1 <= len(tags) <= 255:
        raise DatasetError(f"{path} lists {len(tags)} tags; the repository's own has 59")
    table = np.full(256, 255, dtype=np.uint8)
    table[: len(tags)] = [class_of_tag[tag] for tag in tags]
    return table


def read_pair(source: Path, name: str, table: NDArray[np.uint8]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return a photograph (H, W, 3), RGB, and its label map (H, W) of class indices."""
    photo_path, label_path = _paths(source, name)
    photograph = read_image(photo_path)[..., ::-1]
    tags = _read_mat(label_path, "groundtruth", most_bytes=2**26)
    if tags.shape != photograph.shape[:2]:
        raise DatasetError(
            f"{label_path} is {tags.shape}, but {photo_path} {photograph.shape[:2]} (height, width); fetch the "
            "repository again"
        )
    if tags.dtype.kind not in "uif" or not ((tags >= 0) & (tags <= 255) & (tags == np.floor(tags))).all():
        raise DatasetError(f"{label_path} has values that are no tag numbers; fetch the repository again")
    label = table[tags.astype(np.uint8)]
    if label.max() == 255:
        raise DatasetError(f"{label_path} has the tag number {tags[label == 255][0]}, which label_list.mat lacks")
    return photograph, label


def crop_and_scale(photograph: NDArray[np.uint8], label: NDArray[np.uint8]) -> tuple[Image.Image, NDArray[np.uint8]]:
    """Return both cut to the foreground with a margin of 6 % of its longer side, and at most 512 pixels long."""
    ys, xs = np.nonzero(label)
    left, right, top, bottom = int(xs.min()), int(xs.max()), int(ys.min()), int(ys.max())
    margin = int(MARGIN * max(bottom - top, right - left))
    here = np.s_[max(0, top - margin) : bottom + margin + 1, max(0, left - margin) : right + margin + 1]
    picture, label_picture = Image.fromarray(photograph[here]), Image.fromarray(label[here])
    factor = min(1.0, LONGEST_SIDE / max(picture.size))
    size = (max(1, round(picture.width * factor)), max(1, round(picture.height * factor)))
    return (
        picture.resize(size, Image.Resampling.LANCZOS),
        np.asarray(label_picture.resize(size, Image.Resampling.NEAREST)),
    )


def _paths(source: Path, name: str) -> tuple[Path, Path]:
    return source / "photos" / f"{name}.jpg", source / "annotations" / "pixel-level" / f"{name}.mat"


def _is_there(source: Path, name: str) -> bool:
    return all(path.is_file() for path in _paths(source, name))


def _read_mat(path: Path, variable: str, *, most_bytes: int) -> NDArray[Any]:
    """Return a variable of a MATLAB file, which may have so many bytes, also where they are compressed."""
    try:
        content = read_regular(path)
        if not _unpacks_to(content, most_bytes):
            raise ValueError(f"it unpacks to more than {most_bytes:,} bytes")
        reader = _reader()  # before the block, which multiprocessing lifts while it makes a queue
        with left_to_this_process():
            read = reader.submit(_load, content, variable)
        return read.result()
    except ImportError as error:
        raise DatasetError("scipy is needed to read MATLAB files: pip install scipy") from error
    except BrokenProcessPool as error:
        _reader.cache_clear()
        raise DatasetError(f"{path}: scipy crashes while reading it; fetch the repository again") from error
    except Exception as error:  # scipy documents no set of exceptions for damaged files
        raise DatasetError(f"{path}: cannot read its variable {variable!r} ({error})") from error


@functools.cache
def _reader() -> ProcessPoolExecutor:
    """Return a process for scipy, which a damaged file can crash: 1.17 did so with one in thirty."""
    return ProcessPoolExecutor(1, get_context("spawn"))


def _load(content: bytes, variable: str) -> NDArray[Any]:
    """Return a variable of a MATLAB file."""
    from scipy.io import loadmat

    variables = loadmat(io.BytesIO(content), variable_names=[variable])
    if variable not in variables:
        raise ValueError("it has none of this name")
    return np.asarray(variables[variable])


def _unpacks_to(content: bytes, most_bytes: int) -> bool:
    """Return whether a MATLAB file's elements, of version 5, have so many bytes at most when they are unpacked."""
    order: Literal["little", "big"] = "big" if content[126:128] == b"MI" else "little"
    position, total = 128, len(content)
    while position + 8 <= len(content) and total <= most_bytes:
        kind, size = (int.from_bytes(content[start : start + 4], order) for start in (position, position + 4))
        position += 8
        if kind == _COMPRESSED:
            total += len(zlib.decompressobj().decompress(content[position : position + size], most_bytes + 1))
        position += size
    return total <= most_bytes


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = OptionParser(
        prog="python -m dataset.prepare_ccp",
        description="Turn the Clothing Co-Parsing repository into a dataset of 15 classes in the LIP layout.",
    )
    parser.add_argument("--source", type=Path, required=True, help=f"a clone of {REPOSITORY}")
    parser.add_argument("--output", type=Path, required=True, help="the folder to write the dataset to")
    parser.add_argument(
        "--all",
        action="store_true",
        help="use all 1,003 photographs, 804 to train and 199 to validate; otherwise 703 and 200",
    )
    options = parser.parse_args(arguments)
    return run_command("dataset.prepare_ccp", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Convert as the options say, and print what was written and what was missing."""
    written = prepare(options.source, options.output, all_photographs=options.all)
    expected = [name for ids in split_ids(all_photographs=options.all).values() for name in ids]
    missing = [name for name in expected if not _is_there(options.source, name)]
    show(f"{options.output}: " + ", ".join(f"{len(ids)} {split} photographs" for split, ids in written.items()))
    if missing:
        show(f"{options.source} is not complete: {len(missing)} of {len(expected)} photographs are missing there")


if __name__ == "__main__":
    sys.exit(main())
