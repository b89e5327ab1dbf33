"""Merge, rename or leave out the classes of a dataset: a new one, of the same photographs.

    python -m dataset.relabel --data-dir DIR --classes new.json --output NEW_DIR

`new.json` is the `dataset.json` of the new dataset with two more keys: "map", {an old class: a new one, or null}, where
null is not labelled (ignored), and "others", what the rest becomes, likewise. A class that "map" does not have keeps
its name where the new dataset has that name. Without "others" the rest is not labelled.
"""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from dataset import IGNORE_LABEL
from dataset.command import run_command
from dataset.correspondence import Correspondence, correspondence_to
from dataset.descriptions import DESCRIPTION_FILE, DatasetDescription, list_samples, load_description, read_object
from dataset.files import read_regular, show
from dataset.layouts import LAYOUTS, SPLITS, DatasetError, Sample, split_exists
from dataset.options import OptionParser
from dataset.reading import save_label
from dataset.writing import check_writable, write_bytes, write_json, write_lines


def relabel(data_dir: Path, old: DatasetDescription, classes: Path, output: Path) -> list[str]:
    """Write the dataset to a new folder in the LIP layout; return in sentences what became what.

    Nothing of it is left where an error ends it. Raises DatasetError where the table in `classes` or a label cannot be
    used, and where `output` is not empty, and OSError where it cannot be written.
    """
    values = read_object(classes)
    new = DatasetDescription.from_dict(values, str(classes))
    correspondence = correspondence_to(new, old, values, classes)
    became = correspondence.table[: old.num_classes]
    missing = [name for index, name in enumerate(new.class_names) if index not in became]
    if missing:
        raise DatasetError(f"{classes}: no class of {old.name} becomes {', '.join(missing)}; complete the map")
    if new.layout != "lip":
        raise DatasetError(f"{classes}: the new dataset is written in the LIP layout; leave its layout out")
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise DatasetError(f"{output} exists and is not an empty folder; name a new one with --output")
    splits = {
        split: list_samples(data_dir, old, split) for split in SPLITS if split_exists(data_dir, old.layout, split)
    }
    check_writable(output / DESCRIPTION_FILE)
    try:
        for split, samples in splits.items():
            _write_split(samples, split, output, correspondence, new)
        write_json(output / DESCRIPTION_FILE, new.to_dict())
    except BaseException:  # Ctrl-C, too: what is not finished would be refused by the next run
        shutil.rmtree(output, ignore_errors=True)
        raise
    return [
        f"{name}: {', '.join(old.class_names[source] for source in np.flatnonzero(became == index))}"
        for index, name in [*enumerate(new.class_names), (IGNORE_LABEL, "not labelled")]
        if index in became
    ] + [f"{output}: " + ", ".join(f"{len(samples)} {split} photographs" for split, samples in splits.items())]


def _write_split(
    samples: Sequence[Sample], split: str, output: Path, table: Correspondence, new: DatasetDescription
) -> None:
    images, labels, ids = LAYOUTS["lip"][split][:3]
    for sample in tqdm(samples, desc=split, disable=None):
        assert sample.label_path is not None
        photograph = output / images / f"{sample.id}{sample.image_path.suffix}"
        save_label(output / labels / f"{sample.id}.png", table.read(sample.label_path), new)
        write_bytes(photograph, read_regular(sample.image_path))
    write_lines(output / str(ids), (sample.id for sample in samples))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = OptionParser(
        prog="python -m dataset.relabel",
        description="Merge, rename or leave out the classes of a dataset: a new one, of the same photographs.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", metavar="NAME", help="lip, cihp, atr, ...; found out where it is left out")
    parser.add_argument(
        "--classes", type=Path, required=True, metavar="FILE.json", help="the new dataset.json, with map and others"
    )
    parser.add_argument("--output", type=Path, required=True, help="the folder to write the new dataset to")
    options = parser.parse_args(arguments)
    return run_command("dataset.relabel", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Relabel as the options say, and print what became what."""
    old = load_description(options.data_dir, options.dataset)
    for sentence in relabel(options.data_dir, old, options.classes, options.output):
        show(sentence)


if __name__ == "__main__":
    sys.exit(main())
