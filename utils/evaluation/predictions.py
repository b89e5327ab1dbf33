"""Class maps in a folder, from whatever parser, against the labels of a dataset: no network is built."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from dataset import IGNORE_LABEL
from dataset.correspondence import read_correspondence, same_classes
from dataset.descriptions import DatasetDescription
from dataset.layouts import LABEL_SUFFIXES, DatasetError, Sample, files_by_id
from dataset.reading import read_label
from utils.background import prefetch
from utils.evaluation.scores import Scores
from utils.prediction.record import RECORD_FILE
from utils.progress import Progress

MASKS_FOLDER = "masks"
"""Where predict.py puts class maps, inside its output folder."""


class FolderScore(NamedTuple):
    """What class maps are worth.

    scores: all samples; those with a problem count as maps in which no class was found anywhere.
    problems: the "id" of each sample without a usable class map, and the "reason".
    """

    scores: Scores
    problems: list[dict[str, str]]
    images: int
    seconds: float


class MapFolder:
    """Class maps by the ids of their samples: `ID.png`, in the folder or, as predict.py puts them, in `masks/` in it.

    They store the dataset's classes as its labels do, or by their indices where predict.py made them.

    Args:
        folder: as the user names it.
        samples: whose maps are wanted.
        table: a file that says which classes the maps have, where they have others; see `read_correspondence`.

    Raises DatasetError where there is no such folder, or no map of any of the samples in it, or where `table` is wrong.
    """

    def __init__(
        self, folder: Path, samples: Sequence[Sample], dataset: DatasetDescription, table: Path | None = None
    ) -> None:
        self._dataset = dataset
        missing: list[str] = []
        for self._folder in (folder, folder / MASKS_FOLDER):
            if self._folder == folder or self._folder.is_dir():
                self._files = files_by_id(self._folder, LABEL_SUFFIXES, missing)
            if any(self._path(sample) for sample in samples):
                break
        else:
            reason = "\n".join(missing) or (
                f"{folder} has no class map of any of the {len(samples)} photographs; maps are called after the ids, "
                f"the first of them {samples[0].id}.png"
            )
            raise DatasetError(reason)
        by_predict = self._folder.name == MASKS_FOLDER and (self._folder.parent / RECORD_FILE).is_file()
        stored = replace(dataset, first_label=0, ignore_label=IGNORE_LABEL) if by_predict else dataset
        self._classes = same_classes(stored) if table is None else read_correspondence(table, dataset)

    def _path(self, sample: Sample) -> Path | None:
        # predict.py calls it after the whole name of the photograph where another one differs in the suffix alone.
        return self._files.get(sample.id) or self._files.get(sample.id + sample.image_path.suffix)

    def read(self, sample: Sample, size: tuple[int, ...]) -> tuple[NDArray[np.uint8], str | None]:
        """Return the class map (H, W) of a sample, 255 where it has none of the dataset's classes, and None.

        Where it is missing, unreadable or not of the `size` (H, W) of the label, it is 255 everywhere, and the second
        is the reason.
        """
        path = self._path(sample)
        try:
            if path is None:
                raise DatasetError(f"{self._folder / sample.id}.png: there is no such map")
            classes = self._classes.read(path)
            if classes.shape != size:
                turned = "; it is turned by 90 degrees, as the photograph's EXIF orientation may say" * (
                    classes.shape == size[::-1]
                )
                raise DatasetError(
                    f"{path} is {classes.shape[1]} x {classes.shape[0]} pixels, its label {size[1]} x {size[0]}{turned}"
                )
        except DatasetError as error:
            return np.full(size, IGNORE_LABEL, dtype=np.uint8), str(error)
        return classes, None

    def score(self, samples: Sequence[Sample], *, workers: int = 1) -> FolderScore:
        """Compare the maps with the samples' labels, in threads; raises DatasetError for labels that cannot be used."""
        scores, problems = Scores(self._dataset.num_classes), []
        start = time.perf_counter()
        tasks = (partial(self._score_one, sample) for sample in samples)
        with (
            Progress("score", len(samples), "images") as progress,
            prefetch(tasks, workers=workers, depth=4 * workers) as scored,
        ):
            for sample, (counted, reason) in zip(samples, scored, strict=True):
                scores.merge(counted)
                if reason is not None:
                    problems.append({"id": sample.id, "reason": reason})
                progress.advance()
        return FolderScore(scores, problems, len(samples), time.perf_counter() - start)

    def _score_one(self, sample: Sample) -> tuple[Scores, str | None]:
        assert sample.label_path is not None
        scores = Scores(self._dataset.num_classes)
        label = read_label(sample.label_path, self._dataset)
        classes, reason = self.read(sample, label.shape)
        scores.update(classes, label)
        return scores, reason
