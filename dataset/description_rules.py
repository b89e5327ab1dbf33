"""What a dataset's description may say, and one sentence for what it may not."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from itertools import chain
from reprlib import repr as shortened
from typing import Any

from dataset.layouts import LAYOUTS

OBJECT = "a JSON object with name, classes, flip_pairs and ignore_label"
_REQUIRED = ("name", "classes", "flip_pairs", "ignore_label")
_NAME = re.compile(r"(?!\.\.?$)[A-Za-z0-9._-]{1,100}")


def faults(values: Any) -> Iterator[str]:
    """Yield what is wrong with a description. Each check relies on those before it: go no further than the first."""
    if not isinstance(values, Mapping):
        yield f"must hold {OBJECT}"
    if missing := [key for key in _REQUIRED if key not in values]:
        yield f"lacks {', '.join(missing)}"
    name, classes, pairs, ignore = (values[key] for key in _REQUIRED)
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        yield (
            f"name is {shortened(name)}; snapshots are called after it, so it must be a text of 1 to 100 of A-Z, a-z, "
            "0-9 and ._- (and not . or ..)"
        )
    if not isinstance(classes, list) or not all(isinstance(item, str) and item for item in classes):
        yield "classes must be a list of class names in the order of their labels"
    if hidden := [item for item in classes if not item.isprintable()]:
        yield f"classes has names with control characters: {shortened(hidden)}"
    count = len(classes)
    if not 2 <= count <= 254:
        yield f"classes must name 2 to 254 classes, not {count}"
    if twice := _repeated(classes):
        yield f"classes has these names more than once: {', '.join(twice)}"
    if not isinstance(pairs, list):
        yield "flip_pairs must be a list of [left, right] labels (empty where there are none)"
    for pair in pairs:
        if not (isinstance(pair, list) and len(pair) == 2 and all(_is_index(label, count) for label in pair)):
            yield f"flip_pairs has {shortened(pair)}: a pair is two class labels 0 .. {count - 1}"
    if twice := _repeated(chain.from_iterable(pairs)):
        yield f"flip_pairs has the labels {twice} more than once; a class has one counterpart"
    first, layout = values.get("first_label", 0), values.get("layout", "lip")
    if not _is_index(first, 257 - count):
        yield f"first_label is {shortened(first)}: not all classes fit into 0 .. 255"
    if not _is_index(ignore, 256):
        yield f"ignore_label must be a whole number 0 .. 255, not {shortened(ignore)}"
    if first <= ignore < first + count:
        yield f"ignore_label {ignore} is also the label of the class {classes[ignore - first]!r}"
    if not isinstance(layout, str) or layout not in LAYOUTS:
        yield f"layout must be one of {', '.join(LAYOUTS)}, not {shortened(layout)}"
    if not isinstance(has_background := values.get("has_background", True), bool):
        yield f"has_background must be true or false, not {shortened(has_background)}"
    colours = values.get("colours")
    if colours is None:
        return
    if not isinstance(colours, list) or len(colours) != count:
        yield f"colours must be a list of {count} colours, one for each class"
    for name, rgb in zip(classes, colours, strict=True):
        if not (isinstance(rgb, list) and len(rgb) == 3 and all(_is_index(value, 256) for value in rgb)):
            yield f"colours has {shortened(rgb)} for {name!r}: a colour is [red, green, blue], whole numbers 0 .. 255"


def _is_index(value: Any, end: int) -> bool:
    """Return whether a value from JSON is a whole number 0 .. end - 1 (True and False are none)."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < end


def _repeated(items: Iterable[Any]) -> list[Any]:
    """Return the items that come more than once, in order."""
    return sorted(item for item, count in Counter(items).items() if count > 1)
