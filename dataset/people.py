"""A small LIP-like set of drawn people: the built-in demonstration's data, and the tests'."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.random import Generator
from tqdm import tqdm

from dataset.descriptions import BUILT_IN, DESCRIPTION_FILE
from dataset.layouts import LAYOUTS, SPLITS
from dataset.people_body import draw_body
from dataset.people_canvas import Canvas, Image
from dataset.people_person import HEAD_RADII, HEAD_Y, Person, chance, sample_person
from dataset.people_scene import draw_background, draw_occluder, relight
from dataset.people_stage import to_pixels, turn
from dataset.reading import save_label

LIP = BUILT_IN["lip"]
FOLDERS = LAYOUTS[LIP.layout]
MARKER_FILE = "people.json"
# To be raised when the drawing changes, so that sets drawn before are drawn anew.
FORMAT_VERSION = 3
# Below this many pictures, starting worker processes takes longer than they save.
POOL_FROM = 200
SMALLEST_SIDE = 32


def draw_person(rng_or_seed: Generator | int, size: tuple[int, int] = (192, 128)) -> tuple[Image, Image]:
    """Draw one person: image (H, W, 3) uint8 BGR and label map (H, W) uint8 of LIP's 20 classes.

    `size` is (height, width). Left and right are the person's. The same seed gives the same bytes.
    """
    rng = np.random.default_rng(rng_or_seed)
    return draw(rng, sample_person(rng), size)


def draw(rng: Generator, person: Person, size: tuple[int, int]) -> tuple[Image, Image]:
    """Draw a given person into a scene at random; see `draw_person`."""
    zoom = 3 if max(size) <= 200 else 2  # small pictures need the smoother edges, large ones the speed
    light = (float(rng.choice((-1, 1)) * rng.uniform(0.3, 1)), float(-rng.uniform(0.2, 1)))
    canvas = Canvas(draw_background(rng, size), zoom, light)
    scale, origin = _place(rng, person, (size[0] * zoom, size[1] * zoom))
    draw_body(canvas, person, scale, origin)
    if chance(rng, 0.2):
        draw_occluder(rng, canvas)
    image, label = canvas.finish()
    return relight(rng, image, light), label


def _place(rng: Generator, person: Person, size: tuple[int, int]) -> tuple[float, tuple[float, float]]:
    """Pixels to a head height, and where the hips go: mostly all of the person, sometimes closer."""
    height, width = size
    joints = np.concatenate([*person.arms.values(), *person.legs.values()])
    plane = turn(joints, person.yaw)
    plane = np.concatenate([plane, [(-0.6, HEAD_Y - HEAD_RADII[1] - 0.2), (0.6, HEAD_Y)]])
    points = to_pixels(plane, person.lean, 1.0, (0, 0))
    low, high = points.min(0) - np.array([0.2, 0.05]), points.max(0) + np.array([0.2, 0.4])
    span = high - low
    scale = float(min(height / span[1], width / span[0]) * rng.uniform(0.88, 1.0))
    closer = chance(rng, 0.12)
    if closer:
        scale *= float(rng.uniform(1.15, 1.5))
    spare = np.array([width, height]) - span * scale
    shift = rng.uniform(0.25, 0.75, 2)
    if closer:
        # Cut off at the feet rather than at the head, as photographs are; now and then the other way round.
        shift[1] = rng.uniform(0.8, 1.0) if chance(rng, 0.15) else rng.uniform(0, 0.12)
        shift[0] = 0.5 + rng.normal(0, 0.08)
    origin = spare * shift - low * scale
    return scale, (float(origin[0]), float(origin[1]))


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
    if num_train < 1 or num_val < 1:
        raise ValueError(f"both splits need at least one picture, not {num_train} and {num_val}")
    if min(size) < SMALLEST_SIDE:
        raise ValueError(f"size is {size[0]},{size[1]}; people need at least {SMALLEST_SIDE} pixels a side")
    if seed < 0:
        raise ValueError(f"seed must not be negative, but is {seed}")
    counts = {"train": num_train, "val": num_val}
    wanted: dict[str, Any] = {"version": FORMAT_VERSION, **counts, "size": list(size), "seed": seed}
    if _is_complete(output_dir, wanted, force):
        return output_dir
    _clear(output_dir)
    _write_marker(output_dir, wanted, complete=False)
    description = LIP.to_dict() | {"name": "demo"}
    (output_dir / DESCRIPTION_FILE).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
    for split in SPLITS:
        (output_dir / FOLDERS[split].images).mkdir()
        (output_dir / FOLDERS[split].labels).mkdir()
        ids = "".join(f"{item_id(split, index)}\n" for index in range(counts[split]))
        (output_dir / str(FOLDERS[split].ids)).write_text(ids, encoding="utf-8")
    items = [(split, index) for split in SPLITS for index in range(counts[split])]
    _write_items(partial(_write_item, output_dir, size, seed), items, workers)
    _write_marker(output_dir, wanted, complete=True)
    return output_dir


def item_id(split: str, index: int) -> str:
    return f"{split}_{index:05d}"


def draw_item(seed: int, split: str, index: int, size: tuple[int, int]) -> tuple[Image, Image]:
    """Draw picture `index` of a split: image (H, W, 3) BGR and label map (H, W), H and W near `size`."""
    rng = np.random.default_rng([seed, SPLITS.index(split), index])
    zoom = rng.uniform(0.85, 1.15)
    stretch = rng.uniform(0.9, 1.12)
    height, width = round(size[0] * zoom * stretch), round(size[1] * zoom / stretch)
    return draw_person(rng, (height, width))


def _write_item(output_dir: Path, size: tuple[int, int], seed: int, item: tuple[str, int]) -> None:
    split, index = item
    image, label = draw_item(seed, split, index, size)
    image_path = output_dir / FOLDERS[split].images / f"{item_id(split, index)}.jpg"
    _, jpeg = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 92])
    image_path.write_bytes(jpeg.tobytes())
    # Saved as LIP's, whose colours these classes have; the stored values are the same.
    save_label(output_dir / FOLDERS[split].labels / f"{item_id(split, index)}.png", label, LIP)


def _write_items(write: partial[None], items: Sequence[tuple[str, int]], workers: int | None) -> None:
    """Write the items, in worker processes where there are enough of them to pay."""

    def watched(done: Iterable[None]) -> None:
        for _ in tqdm(done, total=len(items), desc="drawing people", unit="picture", disable=None):
            pass

    workers = min(workers or os.cpu_count() or 1, 16)
    if workers == 1 or len(items) < POOL_FROM:
        watched(map(write, items))
        return
    # Started afresh, not forked: the caller may have threads running (PyTorch's, OpenCV's).
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, context, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        watched(pool.map(write, items, chunksize=16))


def _is_complete(output_dir: Path, wanted: dict[str, Any], force: bool) -> bool:
    """Whether the folder holds the wanted set; raises FileExistsError where it holds what must be kept."""
    if not output_dir.exists():
        return False
    if not output_dir.is_dir():
        raise FileExistsError(f"{output_dir} is a file; name a folder for the drawn people")
    marker = output_dir / MARKER_FILE
    if not marker.is_file():
        if any(output_dir.iterdir()):
            raise FileExistsError(
                f"{output_dir} is not empty and holds no {MARKER_FILE}, so it was not drawn here; name another folder"
            )
        return False
    try:
        found = json.loads(marker.read_text(encoding="utf-8"))
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


def _clear(output_dir: Path) -> None:
    """Make the folder, without the splits that an earlier set left in it."""
    output_dir.mkdir(parents=True, exist_ok=True)
    for split in SPLITS:
        for folder in (FOLDERS[split].images, FOLDERS[split].labels):
            shutil.rmtree(output_dir / folder, ignore_errors=True)


def _write_marker(output_dir: Path, wanted: dict[str, Any], complete: bool) -> None:
    text = json.dumps({"set": wanted, "complete": complete}, indent=2) + "\n"
    (output_dir / MARKER_FILE).write_text(text, encoding="utf-8")


def write_sheet(
    path: str | Path, *, size: tuple[int, int] = (192, 128), seed: int = 0, rows: int = 4, columns: int = 6
) -> None:
    """Write one picture of rows x columns people, each with its coloured label map beside it."""
    colours = LIP.palette[:, ::-1]
    lines = []
    for row in range(rows):
        people = [draw_person(seed * rows * columns + row * columns + column, size) for column in range(columns)]
        lines.append(np.hstack([part for image, label in people for part in (image, colours[label])]))
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() not in (".png", ".jpg", ".jpeg") or not cv2.imwrite(str(path), np.vstack(lines)):
        raise ValueError(f"{path}: the sheet cannot be written there; name a .png or .jpg file")


def parse_size(text: str) -> tuple[int, int]:
    """Return (height, width) from "H,W"."""
    try:
        height, width = (int(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not H,W, such as 192,128") from error
    return height, width


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m dataset.people", description="Draw a small LIP-like set of people, or a sheet to look at."
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the set, in the LIP layout")
    parser.add_argument("--train", type=int, default=1000, metavar="N", help="training pictures (%(default)s)")
    parser.add_argument("--val", type=int, default=200, metavar="N", help="validation pictures (%(default)s)")
    parser.add_argument("--size", type=parse_size, default=(192, 128), metavar="H,W", help="height and width (192,128)")
    parser.add_argument("--seed", type=int, default=0, metavar="S", help="another seed, other people (%(default)s)")
    parser.add_argument("--workers", type=int, metavar="N", help="processes that draw (default: one a core)")
    parser.add_argument("--force", action="store_true", help="replace another set of drawn people in the folder")
    parser.add_argument("--sheet", metavar="FILE", help="write people and their labels into one picture")
    options = parser.parse_args(arguments)
    if not options.output and not options.sheet:
        parser.error("nothing to do: give --output DIR, --sheet FILE or both")
    return options


def main() -> None:
    options = parse_arguments()
    try:
        if options.sheet:
            write_sheet(options.sheet, size=options.size, seed=options.seed)
            print(f"wrote {options.sheet}")
        if options.output:
            folder = make_dataset(
                options.output,
                num_train=options.train,
                num_val=options.val,
                size=options.size,
                seed=options.seed,
                force=options.force,
                workers=options.workers,
            )
            print(f"{folder} holds {options.train} training and {options.val} validation pictures")
    except (ValueError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
