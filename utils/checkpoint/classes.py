"""Which classes a network tells apart: from its checkpoint, from the user, or by their number."""

import logging
import os
from pathlib import Path

from dataset.descriptions import BUILT_IN, DESCRIPTION_FILE, DatasetDescription, load_description
from dataset.layouts import DatasetError
from utils.checkpoint.files import CheckpointError

logger = logging.getLogger(__name__)


def find_description(named: DatasetDescription | str | os.PathLike[str] | None) -> DatasetDescription | None:
    """Return the description meant by the name of a built-in dataset, or by a `dataset.json` or its folder.

    Raises DatasetError (a ValueError) where there is none.
    """
    if named is None or isinstance(named, DatasetDescription):
        return named
    if isinstance(named, str) and named in BUILT_IN:
        return BUILT_IN[named]
    path = Path(named)
    folder = path.parent if path.name == DESCRIPTION_FILE else path
    if not os.path.lexists(folder / DESCRIPTION_FILE):
        raise DatasetError(
            f"'{named}' is neither one of the built-in datasets ({', '.join(BUILT_IN)}) nor a {DESCRIPTION_FILE} "
            "or a folder with one"
        )
    return load_description(folder)


def known_description(own: DatasetDescription | None, num_classes: int) -> DatasetDescription | None:
    """Return a checkpoint's own description; of those without one, 20 classes are LIP's, as in the released weights."""
    if own is None and num_classes == BUILT_IN["lip"].num_classes:
        return BUILT_IN["lip"]
    return own


def check_same_classes(
    own: DatasetDescription | None, num_classes: int, dataset: DatasetDescription, *, where: str
) -> None:
    """Raise CheckpointError where a network's classes, in number, names or order, are not the dataset's.

    `own` is what the checkpoint says of them, if it does; `where` is what the message calls the checkpoint.
    """
    if num_classes != dataset.num_classes:
        raise CheckpointError(f"{where} has {num_classes} classes, the dataset {dataset.name} {dataset.num_classes}")
    if own is not None and own.class_names != dataset.class_names:
        pairs = zip(own.class_names, dataset.class_names, strict=True)
        theirs, ours = next((a, b) for a, b in pairs if a != b)
        raise CheckpointError(
            f"{where} was trained on {own.name}, whose classes are not those of {dataset.name} "
            f"(for example {theirs!r} instead of {ours!r})"
        )


def resolve_description(
    named: DatasetDescription | None, own: DatasetDescription | None, num_classes: int, *, where: str
) -> DatasetDescription:
    """Return the description of a network with `num_classes`: the user's, else the checkpoint's own, else a guess.

    Without either, 20 classes are LIP's, and others are called "class 0", "class 1", ..., with a logged warning.
    Raises ValueError where `named` has another number of classes; `where` is what the message calls the checkpoint.
    """
    if named is not None:
        if named.num_classes != num_classes:
            raise ValueError(
                f"{where} has {num_classes} classes, but the description {named.name!r} {named.num_classes}"
            )
        return named
    known = known_description(own, num_classes)
    if known is not None:
        return known
    logger.warning(
        "%s does not say what its %d classes are: they are called class 0, class 1, ..., and the test-time mirror "
        "takes none for left and right. Name its dataset (%s) or give a dataset.json",
        where,
        num_classes,
        ", ".join(BUILT_IN),
    )
    return DatasetDescription(name="unknown", class_names=tuple(f"class {index}" for index in range(num_classes)))
