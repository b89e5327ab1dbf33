"""What a dataset's description may say, and one sentence for what it may not."""

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from reprlib import repr as shortened
from typing import Any

from dataset.layouts import LAYOUTS, DatasetError

_NAME = re.compile(r"[A-Za-z0-9._-]{1,100}")


def check_description(values: Mapping[str, Any], source: str) -> None:
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
