"""What is in the splits of a dataset, counted.

`python -m dataset.check` counts all of a dataset, the start of a training some hundreds of its labels; what is
suspicious about the counts is said in one place for both, `dataset.suspicions`.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL
from dataset.descriptions import DatasetDescription
from dataset.layouts import Sample
from dataset.palette import Colour
from dataset.reading import exif_orientation, label_colours, read_label
from dataset.workers import thread_pool

LABELS_LOOKED_AT = 500
SECONDS_TO_LOOK = 10.0


class Problem(NamedTuple):
    """One thing that is wrong: its kind in a word or two, the split, and a sentence that names the file."""

    kind: str
    split: str
    message: str


class SampleFindings(NamedTuple):
    """What one photograph and its label map show; parts that could not be read are None.

    size: (height, width) of the photograph. pixels: (256,) by class. orientation: the photograph's in EXIF, 1 is
    upright. colours: of the classes in a label map with a palette, the stored value of each.
    """

    sample: Sample
    size: tuple[int, int] | None = None
    pixels: NDArray[np.int64] | None = None
    orientation: int = 1
    colours: dict[Colour, int] = {}  # noqa: RUF012 - never changed


@dataclass
class SplitContent:
    """What is in a split, or in the part of it that was looked at.

    samples: how many the split has. sizes: (height, width) of its readable photographs. pixels, images_with: (256,)
    by class, pixels and label maps. label_shares: (K,), of each label map that has pixels of a class, the classes'
    shares of these. The lists of paths have label maps without any such pixel, label maps of background and ignored
    pixels alone, and photographs with an EXIF orientation. colours: per palette colour the stored values it stands for,
    each with the first such label map.
    """

    num_classes: int
    samples: int
    looked_at: int = 0
    label_maps: int = 0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    pixels: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    images_with: NDArray[np.int64] = field(default_factory=lambda: np.zeros(256, dtype=np.int64))
    label_shares: list[NDArray[np.float64]] = field(default_factory=list)
    ignored_whole: list[Path] = field(default_factory=list)
    only_background: list[Path] = field(default_factory=list)
    turned: list[tuple[Path, int]] = field(default_factory=list)
    colours: dict[Colour, dict[int, Path]] = field(default_factory=dict)

    def add(self, findings: SampleFindings) -> None:
        self.looked_at += 1
        path, pixels = findings.sample.label_path, findings.pixels
        if findings.size is not None:
            self.sizes.append(findings.size)
        if findings.orientation != 1:
            self.turned.append((findings.sample.image_path, findings.orientation))
        if pixels is None or path is None:
            return
        self.label_maps += 1
        self.pixels += pixels
        self.images_with += pixels > 0
        counts = pixels[: self.num_classes]
        if counts.any():
            self.label_shares.append(counts / counts.sum())
            if pixels[IGNORE_LABEL] and not counts[1:].any():
                self.only_background.append(path)
        else:
            self.ignored_whole.append(path)
        for colour, value in findings.colours.items():
            self.colours.setdefault(colour, {}).setdefault(value, path)

    def shares(self) -> NDArray[np.float64]:
        """Return each class's share of the pixels that have a class, (K,), in percent."""
        counts = self.pixels[: self.num_classes]
        return 100 * counts / max(1, counts.sum())

    def presence(self) -> NDArray[np.float64]:
        """Return the share of the label maps that show each class, (K,), in percent."""
        return 100 * self.images_with[: self.num_classes] / max(1, self.label_maps)

    def ignored_share(self) -> float:
        return float(100 * self.pixels[IGNORE_LABEL] / max(1, self.pixels.sum()))

    @property
    def whole(self) -> bool:
        """Whether all of the split was looked at."""
        return self.looked_at == self.samples


def findings_of(sample: Sample, description: DatasetDescription, label: NDArray[np.uint8] | None) -> SampleFindings:
    """Return what a label map (H, W) of class indices and the headers of the sample's two files show."""
    findings = SampleFindings(sample, orientation=exif_orientation(sample.image_path))
    if label is None or sample.label_path is None:
        return findings
    pixels = np.bincount(label.ravel(), minlength=256)
    values = description.class_to_stored()[np.flatnonzero(pixels[: description.num_classes])]
    palette = label_colours(sample.label_path) or []
    # Colours that a palette has twice, such as black for all that is unused, say nothing about a value.
    painted = {palette[value]: value for value in values.tolist() if value < len(palette)}
    colours = {colour: value for colour, value in painted.items() if palette.count(colour) == 1}
    return findings._replace(pixels=pixels, colours=colours)


def look_at(samples: Sequence[Sample], description: DatasetDescription, *, workers: int) -> SplitContent:
    """Return what is in some of a split: at most 500 samples, at random but always the same, for at most ten seconds.

    Label maps are read whole, of photographs only the headers. Raises DatasetError for a label map that cannot be used.
    """
    order = np.random.default_rng(0).permutation(len(samples))[:LABELS_LOOKED_AT]
    content = SplitContent(description.num_classes, len(samples))
    end = time.monotonic() + SECONDS_TO_LOOK

    def look(index: int) -> SampleFindings:
        label_path = samples[index].label_path
        assert label_path is not None
        return findings_of(samples[index], description, read_label(label_path, description))

    with thread_pool(workers) as pool:  # threads: decoding runs outside Python's lock
        for findings in pool.map(look, order):
            content.add(findings)
            if time.monotonic() > end:
                break
    return content
