"""What a dataset is: its classes, how its label files store them, and where its files lie.

A dataset is described by data, not by code. Five descriptions are built in; a folder in the LIP layout with
its own `dataset.json` is a dataset as well.
"""

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL, class_names, palette
from dataset.description_rules import OBJECT, faults
from dataset.files import parse_json, read_text
from dataset.layouts import LAYOUTS, DatasetError, Sample, dataset_root, describe_layout, find_layouts, list_split

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
        if fault := next(faults(values), None):
            raise DatasetError(f"{source}: {fault}")
        colours = values.get("colours")
        return cls(
            name=values["name"],
            class_names=tuple(values["classes"]),
            flip_pairs=tuple((left, right) for left, right in values["flip_pairs"]),
            ignore_label=values["ignore_label"],
            colours=None if colours is None else tuple((red, green, blue) for red, green, blue in colours),
            **{key: values[key] for key in ("first_label", "has_background", "layout") if key in values},
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


_LAYOUTS_OF = {"atr": ("lip", "voc"), "pascal_person_part": ("lip", "voc_parts", "voc")}
"""The layouts that these datasets come in, the preferred one first; every other dataset's is its description's."""
_FOLDER_NAMES = {"atr": r"(?<![a-z])atr(?![a-z])|humanparsing", "pascal_person_part": "pascal"}
"""Patterns of what people call the folders of datasets that share a layout."""


def load_description(data_dir: str | Path, name: str | None = None) -> DatasetDescription:
    """Return the description of the dataset in a folder.

    Its `dataset.json`, in the folder or beside the photographs in `images_labels/`, counts first, then the built-in
    description called `name`, then the one that the folders belong to; the layout of these is that of the folder. The
    LIP layout is taken for LIP. Raises DatasetError where these contradict each other or say nothing.
    """
    data_dir = Path(data_dir)
    if not data_dir.is_dir():
        raise DatasetError(f"{data_dir}: no such folder; --data-dir must name the dataset's folder")
    for file in (data_dir / DESCRIPTION_FILE, dataset_root(data_dir, "lip") / DESCRIPTION_FILE):
        if os.path.lexists(file):  # whatever it is
            description = _read_description(file)
            if name not in (None, description.name):
                raise DatasetError(
                    f"{file} says this dataset is {description.name!r}, not {name!r}; leave the name out, or "
                    "name another folder"
                )
            return description
    if name is not None and name not in BUILT_IN:
        raise DatasetError(
            f"{name!r} is not one of the datasets known here ({', '.join(BUILT_IN)}), and {data_dir} has "
            f"no {DESCRIPTION_FILE} that describes it"
        )
    found = find_layouts(data_dir)
    if name is None:
        name, layout = _detect_dataset(data_dir, found)
    else:
        usual = BUILT_IN[name].layout
        layout = next((layout for layout in _LAYOUTS_OF.get(name, (usual,)) if layout in found), usual)
    return replace(BUILT_IN[name], layout=layout)


def _read_description(file: Path) -> DatasetDescription:
    if not file.is_file():
        kind = "a folder" if file.is_dir() else "no regular file"
        if file.is_symlink() and not file.exists():
            kind = f"a link to {os.readlink(file)}, which does not exist"
        raise DatasetError(f"{file} is {kind}; put the dataset's description there, or delete it")
    return DatasetDescription.from_dict(read_object(file, OBJECT), str(file))


def read_object(path: Path, wanted: str = "a JSON object") -> dict[str, Any]:
    """Return the object in a JSON file; raise DatasetError, which names the file, where it holds something else.

    `wanted` is what the message calls it.
    """
    try:
        values = parse_json(read_text(path))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror})") from error
    except ValueError as error:
        raise DatasetError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(values, dict):
        raise DatasetError(f"{path}: must hold {wanted}, not {shortened(values)}")
    return values


def _detect_dataset(data_dir: Path, found: Sequence[str]) -> tuple[str, str]:
    """Return the name of the built-in dataset in a folder with the layouts found there, and its layout."""
    if not found:
        layouts = "\n".join(f"  {layout}: {describe_layout(layout)}" for layout in LAYOUTS)
        raise DatasetError(
            f"{data_dir} has neither a dataset.json nor the folders of a known layout, which are\n{layouts}"
        )
    if "voc_parts" in found:
        found = [layout for layout in found if layout != "voc"]  # a part of it
    if len(found) > 1:
        raise DatasetError(
            f"{data_dir} has the folders of several layouts ({', '.join(found)}); name one with --dataset"
        )
    layout = found[0]
    if not layout.startswith("voc"):
        return layout, layout
    possible = [name for name, layouts in _LAYOUTS_OF.items() if layout in layouts]
    called = data_dir.resolve().name.lower()
    chosen = [name for name, pattern in _FOLDER_NAMES.items() if re.search(pattern, called)] or possible
    if len(chosen) == 1 and chosen[0] in possible:
        return chosen[0], layout
    folders = LAYOUTS[layout]["train"]
    raise DatasetError(
        f"{data_dir} has {folders.images}/ and {folders.labels}/, and neither these nor its name tell ATR from "
        f"Pascal-Person-Part; say which one it is with {' or '.join(f'--dataset {name}' for name in _LAYOUTS_OF)}"
    )


def list_samples(
    data_dir: str | Path, description: DatasetDescription, split: str, *, labelled: bool = True
) -> list[Sample]:
    """Return the samples of a split, as `dataset.layouts.list_split` does for the description's layout."""
    return list_split(data_dir, description.layout, split, labelled=labelled)
