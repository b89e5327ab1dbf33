"""A set of drawn people as a folder in the LIP layout, and a sheet of them to look at."""

import shutil
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from tqdm import tqdm

from dataset.descriptions import BUILT_IN, DESCRIPTION_FILE
from dataset.files import parse_json, read_text
from dataset.interrupts import left_to_this_process
from dataset.layouts import LAYOUTS, SPLITS
from dataset.options import SEED, Whole, checked, two_whole_numbers
from dataset.people.scene import draw_person
from dataset.reading import save_label
from dataset.workers import available_cores
from dataset.writing import write_bytes, write_json, write_lines

LIP = BUILT_IN["lip"]
FOLDERS = LAYOUTS[LIP.layout]
MARKER_FILE = "people.json"
# To be raised when the drawing changes, so that sets drawn before are drawn anew.
FORMAT_VERSION = 4
# Below this many pictures, starting worker processes takes longer than they save.
POOL_FROM = 200
PEOPLE = Whole(1, 10**6, "each split needs at least one picture")
SIDE = Whole(32, 4096, "smaller people cannot be told apart, and larger pictures need more than a gigabyte to draw")


def make_dataset(
    output_dir: str | Path,
    *,
    num_train: int = 1000,
    num_val: int = 200,
    size: tuple[int, int] = (192, 128),
    seed: int = 0,
    force: bool = False,
    workers: int | None = None,
) -> Path:
    """Write a set of drawn people in the LIP layout, with a `dataset.json`, and return its folder.

    Picture i of a split depends on (`seed`, split, i) and `size` (height, width) alone; heights and widths
    vary around `size`. A folder that holds the same set already is left as it is, an interrupted one is
    drawn again; another set is replaced with `force` only. `workers` processes draw (default: one a core).

    Raises ValueError for impossible numbers and FileExistsError where the folder holds something else.
    """
    output_dir = Path(output_dir)
    counts = {"train": checked("num_train", PEOPLE, num_train), "val": checked("num_val", PEOPLE, num_val)}
    size, seed = checked("size", people_size, size), checked("seed", SEED, seed)
    wanted: dict[str, Any] = {"version": FORMAT_VERSION, **counts, "size": list(size), "seed": seed}
    if _is_complete(output_dir, wanted, force):
        return output_dir
    write_json(output_dir / MARKER_FILE, {"set": wanted, "complete": False})
    write_json(output_dir / DESCRIPTION_FILE, LIP.to_dict() | {"name": "demo"})
    for split in SPLITS:
        for folder in (FOLDERS[split].images, FOLDERS[split].labels):
            shutil.rmtree(output_dir / folder, ignore_errors=True)
            (output_dir / folder).mkdir()
        ids = (f"{split}_{index:05d}" for index in range(counts[split]))
        write_lines(output_dir / str(FOLDERS[split].ids), ids)
    items = [(split, index) for split in SPLITS for index in range(counts[split])]
    _write_items(partial(_write_item, output_dir, size, seed), items, workers)
    write_json(output_dir / MARKER_FILE, {"set": wanted, "complete": True})
    return output_dir


def people_size(value: str | Sequence[int]) -> tuple[int, int]:
    """Return the (height, width) of drawn people, from text such as "192,128" or from numbers; raise OptionError."""
    height, width = two_whole_numbers(value)
    return SIDE(height), SIDE(width)


def write_sheet(path: Path, size: tuple[int, int], seed: int) -> None:
    """Write one picture of 24 people, each with its coloured label map beside it. Raises OSError."""
    colours = LIP.palette[:, ::-1]
    people = (draw_person(24 * seed + index, size) for index in range(24))
    parts = [np.hstack([image, colours[label]]) for image, label in people]
    sheet = np.vstack([np.hstack(parts[first : first + 6]) for first in range(0, 24, 6)])
    write_bytes(path, cv2.imencode(path.suffix, sheet)[1].data)


def _write_item(output_dir: Path, size: tuple[int, int], seed: int, item: tuple[str, int]) -> None:
    split, index = item
    name = f"{split}_{index:05d}"
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    zoom, stretch = rng.uniform(0.85, 1.15), rng.uniform(0.9, 1.12)
    image, label = draw_person(rng, (round(size[0] * zoom * stretch), round(size[1] * zoom / stretch)))
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    write_bytes(output_dir / FOLDERS[split].images / f"{name}.jpg", jpeg.data)
    # Saved as LIP's, whose colours these classes have; the stored values are the same.
    save_label(output_dir / FOLDERS[split].labels / f"{name}.png", label, LIP)


def _write_items(write: partial[None], items: Sequence[tuple[str, int]], workers: int | None) -> None:
    """Write the items, in worker processes where there are enough of them to pay."""
    watched = partial(tqdm, total=len(items), desc="drawing people", unit="picture", disable=None)
    workers = min(workers or available_cores(), 16)
    if workers == 1 or len(items) < POOL_FROM:
        list(watched(map(write, items)))
        return
    # Started afresh, not forked: the caller may have threads running (PyTorch's, OpenCV's).
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        with left_to_this_process():
            written = pool.map(write, items, chunksize=16)
        try:
            list(watched(written))
        finally:
            pool.shutdown(cancel_futures=True)


def _is_complete(output_dir: Path, wanted: dict[str, Any], force: bool) -> bool:
    """Whether the folder holds the wanted set; raises FileExistsError where it holds what must be kept."""
    if output_dir.is_file():
        raise FileExistsError(f"{output_dir} is a file; name a folder for the drawn people")
    marker = output_dir / MARKER_FILE
    if not marker.is_file():
        if output_dir.is_dir() and any(output_dir.iterdir()):
            raise FileExistsError(
                f"{output_dir} is not empty and holds no {MARKER_FILE}, so it was not drawn here; name another folder"
            )
        return False
    try:
        found = parse_json(read_text(marker))
        complete, same = bool(found["complete"]), {**found["set"], "version": 0} == {**wanted, "version": 0}
    except (ValueError, KeyError, TypeError) as error:
        raise FileExistsError(f"{marker} cannot be read ({error}); remove the folder, or name another") from error
    if not same and not force:
        raise FileExistsError(
            f"{output_dir} holds another set of drawn people ({_summary(found['set'])}, not {_summary(wanted)}); "
            "name another folder, or replace it with --force (force=True)"
        )
    return complete and found["set"] == wanted and not force


def _summary(parameters: dict[str, Any]) -> str:
    return ", ".join(f"{name} {parameters.get(name)}" for name in ("train", "val", "size", "seed"))
