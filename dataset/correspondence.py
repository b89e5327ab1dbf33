"""Which classes of a dataset the values of class maps stand for: the same ones, or those that a table says."""

from collections.abc import Mapping
from pathlib import Path
from reprlib import repr as shortened
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL
from dataset.descriptions import BUILT_IN, DatasetDescription, read_object
from dataset.files import first_few
from dataset.layouts import DatasetError
from dataset.reading import read_label

_KEYS = ("predictions", "map", "others")
_PREDICTIONS = "the predictions"
_HOW_TO_NAME = "; their names are those of the key predictions"


class Correspondence(NamedTuple):
    """From the stored values of class maps to the classes of a dataset."""

    maps: DatasetDescription
    """How the class maps store the classes that they tell apart."""
    table: NDArray[np.uint8]
    """(256,): of each of these the dataset's class; 255 for none, as for their own ignored pixels."""

    def read(self, path: Path) -> NDArray[np.uint8]:
        """Return a class map (H, W) in the dataset's classes, 255 where it has none of them.

        Raises DatasetError for files that are no label PNG, and for values that are no class of the maps.
        """
        return self.table[read_label(path, self.maps)]


def same_classes(maps: DatasetDescription) -> Correspondence:
    """Return the correspondence of class maps that have the dataset's own classes."""
    return Correspondence(maps, np.arange(256, dtype=np.uint8))


def read_correspondence(path: Path, dataset: DatasetDescription) -> Correspondence:
    """Return the correspondence in a JSON file, an object with one or more of these keys:

    predictions: the classes of the maps in the order of their values: their names, or the name of a built-in dataset.
        Without it they have no names.
    map: {a class of the maps, by name or value: a class of the dataset by name, or null for none of them}. A class
        that is not there stands for the dataset's class of the same name.
    others: what the rest stands for, likewise; null without it.

    Pixels of the value 255, and those that stand for no class, have no class: the label's is not found there. Raises
    DatasetError, which names the file, where it says something else.
    """
    values = read_object(path)
    if not values or not values.keys() <= set(_KEYS):
        raise DatasetError(
            f'{path}: must hold a JSON object with predictions, map or others, such as {{"predictions": "atr", '
            f'"map": {{"Bag": "Background"}}}}, not {shortened(values)}'
        )
    return correspondence_to(dataset, _classes_of_maps(values.get("predictions"), path), values, path)


def correspondence_to(
    dataset: DatasetDescription, maps: DatasetDescription, values: Mapping[str, Any], path: Path
) -> Correspondence:
    """Return what the keys "map" and "others" of a file say of the classes of `maps`; see `read_correspondence`."""
    others = _target(values.get("others"), dataset, f"{path}: others")
    class_names, named = maps.class_names, values.get("map", {})
    if not isinstance(named, dict):
        raise DatasetError(f"{path}: map must be an object of classes, not {shortened(named)}")
    table = np.full(256, IGNORE_LABEL, dtype=np.uint8)
    for index, name in enumerate(class_names):
        table[index] = dataset.class_names.index(name) if name in dataset.class_names else others
    known = {str(index): index for index in range(len(class_names))}
    known |= {name: index for index, name in enumerate(class_names)}
    seen: set[int] = set()
    for source, target in named.items():
        if source not in known:
            raise DatasetError(
                f"{path}: map has {shortened(source)}, which is none of the {len(class_names)} classes of "
                f"{maps.name} ({first_few(class_names, 25)}){_HOW_TO_NAME if maps.name == _PREDICTIONS else ''}"
            )
        index = known[source]
        if index in seen:
            raise DatasetError(f"{path}: map has the class {class_names[index]!r} twice, by its name and by its value")
        seen.add(index)
        table[index] = _target(target, dataset, f"{path}: map, at {shortened(source)},")
    return Correspondence(maps, table)


def _classes_of_maps(classes: Any, path: Path) -> DatasetDescription:
    """Return how maps store the classes that the key "predictions" names; in any case class 0 as 0, and so on."""
    if classes is None:
        classes = [str(value) for value in range(IGNORE_LABEL)]
    elif isinstance(classes, str) and classes in BUILT_IN:
        classes = list(BUILT_IN[classes].class_names)
    are_names = isinstance(classes, list) and all(isinstance(name, str) for name in classes)
    if not are_names or not 1 <= len(classes) == len(set(classes)) <= IGNORE_LABEL:
        raise DatasetError(
            f"{path}: predictions must be a list of 1 to {IGNORE_LABEL} different class names in the order of the "
            f"maps' values, or one of {', '.join(BUILT_IN)}, not {shortened(classes)}"
        )
    return DatasetDescription(name=_PREDICTIONS, class_names=tuple(classes))


def _target(name: Any, dataset: DatasetDescription, where: str) -> int:
    """Return the index of a class of the dataset, by its name; 255 for None."""
    if name is None:
        return IGNORE_LABEL
    if not isinstance(name, str) or name not in dataset.class_names:
        raise DatasetError(
            f"{where} has {shortened(name)}, which is no class of {dataset.name} "
            f"({first_few(dataset.class_names, 25)}); null stands for none of them"
        )
    return dataset.class_names.index(name)
