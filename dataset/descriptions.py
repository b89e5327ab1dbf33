"""What a dataset is: its classes, how its label files store them, and where its files lie.

A dataset is described by data, not by code. Five descriptions are built in; a folder in the LIP layout with
its own `dataset.json` is a dataset as well.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL, class_names, palette
from dataset.description_rules import check_description
from dataset.detection import detect_dataset, layout_in
from dataset.files import parse_json, read_text
from dataset.layouts import DatasetError, Sample, dataset_root, list_split

DESCRIPTION_FILE = "dataset.json"


@dataclass(frozen=True, kw_only=True)
class DatasetDescription:
    """A dataset's classes and conventions.

    name: as in `--dataset`; files are called after it, so it is letters (A-Z, a-z), digits and `._-`.
    class_names: in the order of the class indices 0 .. K-1.
    flip_pairs: (left, right) class indices that change places in a mirror.
    ignore_label: the stored value that means "not labelled"; class maps in memory always use 255 for it.
    first_label: the stored value of class 0; the others follow.
    has_background: whether class 0 is the background.
    layout: where the files lie, a key of `dataset.layouts.LAYOUTS`.
    colours: of the classes, (red, green, blue) each; None for those of LIP where the classes are LIP's or CIHP's, and
        else for the PASCAL VOC colour map.
    """

    name: str
    class_names: tuple[str, ...]
    flip_pairs: tuple[tuple[int, int], ...] = ()
    ignore_label: int = IGNORE_LABEL
    first_label: int = 0
    has_background: bool = True
    layout: str = "lip"
    colours: tuple[palette.Colour, ...] | None = None

    @property
    def num_classes(self) -> int:
        return len(self.class_names)

    @property
    def background(self) -> int:
        """The class index of what is nothing: 0, or 255 in datasets without a background class."""
        return 0 if self.has_background else IGNORE_LABEL

    @property
    def foreground(self) -> tuple[int, ...]:
        """All class indices but the background's."""
        return tuple(range(1 if self.has_background else 0, self.num_classes))

    @property
    def palette(self) -> NDArray[np.uint8]:
        """The colours of class maps, (256, 3) uint8 RGB; 255 (ignore) is cream."""
        lip_colours = palette.LIP if self.class_names in (class_names.LIP, class_names.CIHP) else ()
        return palette.colour_table(lip_colours if self.colours is None else self.colours)

    def mirror_table(self) -> NDArray[np.uint8]:
        """Return a table (256,) from a class index to what it is in a mirror."""
        return np.array(mirror_order(256, self.flip_pairs), dtype=np.uint8)

    def stored_to_class(self) -> NDArray[np.int16]:
        """Return a table (256,) from stored values to class indices: 255 for ignore, -1 where neither."""
        table = np.full(256, -1, dtype=np.int16)
        table[self.first_label : self.first_label + self.num_classes] = np.arange(self.num_classes)
        table[self.ignore_label] = IGNORE_LABEL
        return table

    def class_to_stored(self) -> NDArray[np.uint8]:
        """Return a table (256,) from class indices to stored values; what is no class becomes ignore."""
        table = np.full(256, self.ignore_label, dtype=np.uint8)
        table[: self.num_classes] = self.first_label + np.arange(self.num_classes)
        return table

    def to_dict(self) -> dict[str, Any]:
        """Return the description as plain JSON types, in the form of a `dataset.json`."""
        colours = {} if self.colours is None else {"colours": [list(colour) for colour in self.colours]}
        return {
            "name": self.name,
            "classes": list(self.class_names),
            "flip_pairs": [list(pair) for pair in self.flip_pairs],
            "ignore_label": self.ignore_label,
            "first_label": self.first_label,
            "has_background": self.has_background,
            "layout": self.layout,
            **colours,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any], source: str = "dataset description") -> "DatasetDescription":
        """Return the description that `to_dict` gave, or that a `dataset.json` holds.

        The keys name, classes, flip_pairs and ignore_label are required. Raises DatasetError, which begins
        with `source`, where something is missing or impossible.
        """
        check_description(values, source)
        colours = values.get("colours")
        return cls(
            name=values["name"],
            class_names=tuple(values["classes"]),
            flip_pairs=tuple((left, right) for left, right in values["flip_pairs"]),
            ignore_label=values["ignore_label"],
            first_label=values.get("first_label", 0),
            has_background=values.get("has_background", True),
            layout=values.get("layout", "lip"),
            colours=None if colours is None else tuple((red, green, blue) for red, green, blue in colours),
        )


def mirror_order(num_classes: int, flip_pairs: Sequence[tuple[int, int]]) -> list[int]:
    """Return what each class is in a mirror, (K,): left and right change places."""
    order = list(range(num_classes))
    for left, right in flip_pairs:
        order[left], order[right] = right, left
    return order


_LIMB_PAIRS = ((14, 15), (16, 17), (18, 19))

BUILT_IN = {
    description.name: description
    for description in (
        DatasetDescription(name="lip", class_names=class_names.LIP, flip_pairs=_LIMB_PAIRS),
        DatasetDescription(name="cihp", class_names=class_names.CIHP, flip_pairs=_LIMB_PAIRS, layout="cihp"),
        DatasetDescription(name="atr", class_names=class_names.ATR, flip_pairs=((9, 10), (12, 13), (14, 15))),
        DatasetDescription(name="pascal_person_part", class_names=class_names.PASCAL_PERSON_PART),
        DatasetDescription(
            name="ade20k",
            class_names=class_names.ADE20K,
            ignore_label=0,
            first_label=1,
            has_background=False,
            layout="ade20k",
        ),
    )
}


def load_description(data_dir: str | Path, name: str | None = None) -> DatasetDescription:
    """Return the description of the dataset in a folder.

    Its `dataset.json`, in the folder or beside the photographs in `images_labels/`, counts first, then the built-in
    description called `name`, then the one that the folders belong to, see `dataset.detection`; the layout of these is
    that of the folder. Raises DatasetError where these contradict each other or say nothing.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; --data-dir must name the dataset's folder")
    file = _find_description_file(data_dir)
    if file is not None:
        description = _read_description(file)
        if name is not None and name != description.name:
            raise DatasetError(
                f"{file} says this dataset is {description.name!r}, not {name!r}; leave the name out, or "
                "name another folder"
            )
        return description
    if name is not None:
        if name not in BUILT_IN:
            raise DatasetError(
                f"{name!r} is not one of the datasets known here ({', '.join(BUILT_IN)}), and {data_dir} has "
                f"no {DESCRIPTION_FILE} that describes it"
            )
        return _with_layout(BUILT_IN[name], layout_in(data_dir, name, BUILT_IN[name].layout))
    found, layout = detect_dataset(data_dir)
    return _with_layout(BUILT_IN[found], layout)


def _with_layout(description: DatasetDescription, layout: str) -> DatasetDescription:
    return description if layout == description.layout else replace(description, layout=layout)


def list_samples(
    data_dir: str | Path, description: DatasetDescription, split: str, *, labelled: bool = True
) -> list[Sample]:
    """Return the samples of a split, `train` or `val`, in the order of its id list (sorted if it has none).

    Without `labelled` the label maps need not exist, and every `label_path` is None. Raises DatasetError
    where a folder, the list, or the file of a listed id is missing.
    """
    return list_split(data_dir, description.layout, split, labelled=labelled)


def _find_description_file(data_dir: Path) -> Path | None:
    """Return where the folder has something called `dataset.json`, whatever it is; None where it has not."""
    for folder in (data_dir, dataset_root(data_dir, "lip")):
        if os.path.lexists(folder / DESCRIPTION_FILE):
            return folder / DESCRIPTION_FILE
    return None


def _read_description(file: Path) -> DatasetDescription:
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "no regular file"
        if file.is_symlink() and not file.exists():
            kind = f"a link to {os.readlink(file)}, which does not exist"
        raise DatasetError(f"{file} is {kind}; put the dataset's description there, or delete it")
    try:
        values = parse_json(read_text(file))
    except OSError as error:
        raise DatasetError(f"{file}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DatasetError(f"{file}: cannot be read as JSON ({error})") from error
    return DatasetDescription.from_dict(values, str(file))
