"""What looks wrong with a dataset though every file of it can be read: labels that do not mean what they are taken for.

None of it is an error by itself (a set of classes may be larger than what one dataset shows), so none of it stops
anything.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from dataset.content import Problem, SplitContent, look_at
from dataset.descriptions import DatasetDescription
from dataset.files import first_few
from dataset.layouts import Sample
from dataset.palette import Colour

# From this share of a split's labels on, "nothing but background, the rest ignored" is no coincidence.
SUSPICIOUS_MASKS = 0.1
# Two splits differ wildly in a class whose odds differ by this factor and whose mean shares by so many standard errors.
WILD_ODDS, WILD_ERRORS = 4.0, 4.0
# Few labels never reach that: means differ by sqrt(labels) standard errors at most. This part of it will do.
PART_OF_LARGEST_ERROR, FEWEST_LABELS = 0.9, 8


def look_before_training(
    samples: Mapping[str, Sequence[Sample]], description: DatasetDescription, *, workers: int
) -> Iterator[str]:
    """Yield lines that say how much of each split was looked at, and what is suspicious about it.

    Raises DatasetError for a label map that cannot be used.
    """
    start = time.monotonic()
    contents = {split: look_at(of_split, description, workers=workers) for split, of_split in samples.items()}
    amounts = " and ".join(
        f"all {content.samples} {split}" if content.whole else f"{content.looked_at} of {content.samples} {split}"
        for split, content in contents.items()
    )
    rest = "" if all(content.whole for content in contents.values()) else "; `python -m dataset.check` reads all"
    yield f"Looked at {amounts} labels in {time.monotonic() - start:.1f} seconds{rest}."
    for warning in suspicions(contents, description):
        yield f"warning: {warning.split}: {warning.message}"


def suspicions(contents: Mapping[str, SplitContent], description: DatasetDescription) -> list[Problem]:
    """Return what is suspicious about the splits "train" and "val", of which one may be missing."""
    found = [problem for split, content in contents.items() for problem in _of_split(split, content, description)]
    both = ", ".join(contents)
    if message := _different_shares(contents, description):
        found.append(Problem("different shares", both, message))
    if message := _moved_colours(contents):
        found.append(Problem("re-ordered palette", both, message))
    return found


def _of_split(split: str, content: SplitContent, description: DatasetDescription) -> Iterator[Problem]:
    labels, photographs = _amount(content, "labels"), _amount(content, "photographs")
    ignore, first = description.ignore_label, description.first_label
    if ignored := content.ignored_whole:
        message = f"{len(ignored)} of {labels}, such as {ignored[0]}, are ignored whole"
        if len(ignored) == content.label_maps:
            message = f"every pixel of {labels} is ignored (stored as {ignore}): no class is labelled"
        yield Problem("all ignored", split, message)
    masks = content.only_background
    if description.has_background and len(masks) >= max(1, SUSPICIOUS_MASKS * content.label_maps):
        message = (
            f"{len(masks)} of {labels}, such as {masks[0]}, hold nothing but {description.class_names[0]} ({first}) "
            f"and ignored pixels ({ignore}): were masks saved as {first} and {ignore}? A pixel is stored as the number "
            "of its class"
        )
        yield Problem("masks of 0 and 255", split, message)
    if content.turned:
        path, orientation = content.turned[0]
        message = (
            f"{len(content.turned)} of {photographs}, such as {path} (orientation {orientation}), are turned by "
            "viewers, as their EXIF orientation says; here pixels are taken as stored, so their labels must have been "
            "drawn on the pixels as stored"
        )
        yield Problem("EXIF orientation", split, message)
    absent = [name for name, images in zip(description.class_names, content.images_with, strict=False) if not images]
    if split == "train" and 0 < len(absent) < description.num_classes:  # that none is there is said: all is ignored
        which, rest = absent[0], "it cannot be learned"
        if len(absent) > 1:
            which = f"{len(absent)} of the {description.num_classes} classes ({first_few(absent, 8)})"
            rest = "they cannot be learned"
        if not content.whole:
            rest = "rare, or missing: `python -m dataset.check` reads all"
        yield Problem("no pixel", split, f"no pixel of {which} in {labels}; {rest}")


def _different_shares(contents: Mapping[str, SplitContent], description: DatasetDescription) -> str | None:
    """Name the classes whose shares differ too much for two parts of one dataset, the worst first.

    Both must hold: the odds of a pixel to be of the class differ by a factor of 4, and the mean over the labels by 4
    standard errors (of the difference, if all labels were of one kind).
    """
    if set(contents) != {"train", "val"}:
        return None
    train, val = contents["train"], contents["val"]
    counts = [len(content.label_shares) for content in (train, val)]
    labels = sum(counts)
    if labels < FEWEST_LABELS or min(counts) < 2:
        return None
    variance = np.var([*train.label_shares, *val.label_shares], axis=0)
    error = np.sqrt(np.maximum(variance, 1e-12) * (1 / counts[0] + 1 / counts[1]))
    errors = np.abs(np.mean(train.label_shares, axis=0) - np.mean(val.label_shares, axis=0)) / error
    shares = np.array([train.shares(), val.shares()])
    clipped = np.clip(shares / 100, 1e-6, 1 - 1e-6)  # a share of nothing has no odds
    odds = clipped / (1 - clipped)
    ratios = np.maximum(odds[0] / odds[1], odds[1] / odds[0])
    wild = (ratios >= WILD_ODDS) & (errors >= min(WILD_ERRORS, PART_OF_LARGEST_ERROR * labels**0.5))
    named = [
        f"{description.class_names[k]} has {in_train:.3g} % of the train pixels and {in_val:.3g} % of the val pixels"
        for k, (in_train, in_val) in sorted(enumerate(shares.T), key=lambda item: -ratios[item[0]])
        if wild[k]
    ]
    if not named:
        return None
    return (
        f"{first_few(named, 3)}; has a program re-ordered the classes of one split's labels (or their palette, "
        "where they have one)? Look at a label of each"
    )


def _moved_colours(contents: Mapping[str, SplitContent]) -> str | None:
    """Say so where one palette colour stands for several stored values, which no two labels of a dataset should do."""
    values: dict[Colour, dict[int, Path]] = {}
    for content in contents.values():
        for colour, paths in content.colours.items():
            values[colour] = paths | values.get(colour, {})
    moved = {colour: paths for colour, paths in values.items() if len(paths) > 1}
    if not moved:
        return None
    colour, paths = max(moved.items(), key=lambda item: len(item[1]))
    (first, first_path), (second, second_path) = list(paths.items())[:2]
    return (
        f"the colour {colour} is stored as {first} in {first_path}, but as {second} in {second_path}: a program has "
        "re-ordered palettes, and the values no longer say which class a pixel is"
    )


def _amount(content: SplitContent, kind: str) -> str:
    """Return "the 24 labels", or "the 500 of 30462 labels looked at" of a split that was not read whole."""
    count = content.label_maps if kind == "labels" else content.looked_at
    return f"the {count} {kind}" if content.whole else f"the {count} of {content.samples} {kind} looked at"
