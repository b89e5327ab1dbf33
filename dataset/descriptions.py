"""What a dataset is: its classes, how its label files store them, and where its files lie.

A dataset is described by data, not by code. Five descriptions are built in; a folder in the LIP layout with
its own `dataset.json` is a dataset as well.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from reprlib import repr as shortened
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL, class_names, palette
from dataset.files import parse_json, read_text
from dataset.layouts import LAYOUTS, DatasetError, Sample, dataset_root, detect_layout, list_split

DESCRIPTION_FILE = "dataset.json"
_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


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
        _validate(values, source)
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
    description called `name`, then the one that the folder's layout belongs to (the LIP layout without a name is
    taken for `lip`). Raises DatasetError where these contradict each other or say nothing.
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
        return BUILT_IN[name]
    return BUILT_IN[detect_layout(data_dir)]  # the layouts are called after the datasets they belong to


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


def _validate(values: Mapping[str, Any], source: str) -> None:
    """Raise DatasetError for the first thing that is wrong with a description."""

    def require(condition: bool, message: str) -> None:
        if not condition:
            raise DatasetError(f"{source}: {message}")

    require(
        isinstance(values, Mapping),
        "must hold a JSON object with name, classes, flip_pairs and ignore_label",
    )
    missing = [key for key in ("name", "classes", "flip_pairs", "ignore_label") if key not in values]
    require(not missing, f"lacks {', '.join(missing)}")
    name, classes = values["name"], values["classes"]
    require(isinstance(name, str) and name != "", f"name must be a text that is not empty, not {shortened(name)}")
    require(
        _NAME.fullmatch(name) is not None and name not in (".", ".."),
        f"name is {shortened(name)}; snapshots are called after it, so it must be 1 to 100 of A-Z, a-z, 0-9 and ._- "
        "(and not . or ..)",
    )
    require(
        isinstance(classes, list) and all(isinstance(item, str) and item for item in classes),
        "classes must be a list of class names in the order of their labels",
    )
    hidden = [item for item in classes if not item.isprintable()]
    require(not hidden, f"classes has names with control characters: {shortened(hidden)}")
    require(2 <= len(classes) <= 254, f"classes must name 2 to 254 classes, not {len(classes)}")
    twice = _repeated(classes)
    require(not twice, f"classes has these names more than once: {', '.join(twice)}")
    _validate_pairs(values["flip_pairs"], len(classes), require)
    first, ignore = values.get("first_label", 0), values["ignore_label"]
    require(
        _is_index(first, 257 - len(classes)), f"first_label is {shortened(first)}: not all classes fit into 0 .. 255"
    )
    require(_is_index(ignore, 256), f"ignore_label must be a whole number 0 .. 255, not {shortened(ignore)}")
    require(
        not first <= ignore < first + len(classes),
        f"ignore_label {ignore} is also the label of the class {classes[(ignore - first) % len(classes)]!r}",
    )
    layout = values.get("layout", "lip")
    require(
        isinstance(layout, str) and layout in LAYOUTS,
        f"layout must be one of {', '.join(LAYOUTS)}, not {shortened(layout)}",
    )
    has_background = values.get("has_background", True)
    require(isinstance(has_background, bool), f"has_background must be true or false, not {shortened(has_background)}")
    if values.get("colours") is not None:
        _validate_colours(values["colours"], classes, require)


def _validate_pairs(pairs: Any, num_classes: int, require: Callable[[bool, str], None]) -> None:
    require(
        isinstance(pairs, list),
        "flip_pairs must be a list of [left, right] labels (empty where there are none)",
    )
    wrong = [
        pair
        for pair in pairs
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_index(label, num_classes) for label in pair))
    ]
    require(
        not wrong,
        f"flip_pairs has {', '.join(map(shortened, wrong[:1]))}: a pair is two class labels 0 .. {num_classes - 1}",
    )
    labels = [label for pair in pairs for label in pair]
    twice = _repeated(labels)
    require(not twice, f"flip_pairs has the labels {twice} more than once; a class has one counterpart")


def _validate_colours(colours: Any, classes: list[str], require: Callable[[bool, str], None]) -> None:
    require(
        isinstance(colours, list) and len(colours) == len(classes),
        f"colours must be a list of {len(classes)} colours, one for each class",
    )
    for name, colour in zip(classes, colours, strict=True):
        require(
            isinstance(colour, list) and len(colour) == 3 and all(_is_index(value, 256) for value in colour),
            f"colours has {shortened(colour)} for {name!r}: a colour is [red, green, blue], whole numbers 0 .. 255",
        )


def _is_index(value: Any, end: int) -> bool:
    """Return whether a value from JSON is a whole number 0 .. end - 1 (True and False are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end


def _repeated(items: Sequence[Any]) -> list[Any]:
    """Return the items that a list has more than once, in order."""
    return sorted(item for item, count in Counter(items).items() if count > 1)
