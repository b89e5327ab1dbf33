"""Which dataset a folder holds, by the folders in it: the published ones come in layouts of their own, or share one."""

import re
from pathlib import Path

from dataset.layouts import LAYOUTS, DatasetError, describe_layout, find_layouts

_LAYOUTS_OF = {"atr": ("lip", "voc"), "pascal_person_part": ("lip", "voc_parts", "voc")}
"""The layouts that these datasets come in, the preferred one first; every other dataset's is its description's."""
_NAMES = {"atr": r"(?<![a-z])atr(?![a-z])|humanparsing", "pascal_person_part": "pascal"}
"""Patterns of what people call the folders of datasets that share a layout."""


def detect_dataset(data_dir: Path) -> tuple[str, str]:
    """Return the name of the built-in dataset in a folder, and the layout it has there.

    The LIP layout is taken for LIP. Raises DatasetError where the folders do not tell.
    """
    found = find_layouts(data_dir)
    if "voc_parts" in found:
        found.remove("voc")  # a part of it
    if len(found) > 1:
        raise DatasetError(
            f"{data_dir} has the folders of several layouts ({', '.join(found)}); name one with --dataset"
        )
    if not found:
        layouts = "\n".join(f"  {layout}: {describe_layout(layout)}" for layout in LAYOUTS)
        raise DatasetError(
            f"{data_dir} has neither a dataset.json nor the folders of a known layout, which are\n{layouts}"
        )
    layout = found[0]
    return (_by_name(data_dir, layout), layout) if layout.startswith("voc") else (layout, layout)


def layout_in(data_dir: Path, name: str, usual: str) -> str:
    """Return the layout that a built-in dataset has in a folder: of those it comes in, the first one found there.

    `usual` is what its description says: the only one of most datasets, and returned where none is found.
    """
    found = find_layouts(data_dir)
    return next((layout for layout in _LAYOUTS_OF.get(name, (usual,)) if layout in found), usual)


def _by_name(data_dir: Path, layout: str) -> str:
    """Return which of the datasets in a layout this is: the only one, or what the folder's name says."""
    possible = [name for name, layouts in _LAYOUTS_OF.items() if layout in layouts]
    called = data_dir.resolve().name.lower()
    named = [name for name, pattern in _NAMES.items() if re.search(pattern, called)]
    chosen = named or possible
    if len(chosen) == 1 and chosen[0] in possible:
        return chosen[0]
    folders = LAYOUTS[layout]["train"]
    raise DatasetError(
        f"{data_dir} has {folders.images}/ and {folders.labels}/, and neither these nor its name tell ATR from "
        f"Pascal-Person-Part; say which one it is with {' or '.join(f'--dataset {name}' for name in _LAYOUTS_OF)}"
    )
