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
from dataset.correspondence import Correspondence
from dataset.descriptions import DatasetDescription
from dataset.layouts import LABEL_SUFFIXES, DatasetError, Sample, files_by_id
from dataset.reading import read_label
from utils.background import prefetch
from utils.evaluation.scores import Scores
from utils.prediction.record import RECORD_FILE
from utils.progress import Progress

MASKS_FOLDER = "masks"
"""Where predict.py puts class maps, inside its output folder."""


class Problem(NamedTuple):
    """A sample without a usable class map, and why."""

    id: str
    reason: str


class FolderScore(NamedTuple):
    """What class maps are worth.

    scores: all samples; those with a problem count as maps in which no class was found anywhere.
    """

    scores: Scores
    problems: list[Problem]
    images: int
    seconds: float


class MapFolder:
    """Class maps by the ids of their samples: `ID.png`, in the folder or, as predict.py puts them, in `masks/` in it.

    Args:
        folder: as the user names it.
        samples: whose maps are wanted.

    Attributes:
        by_predict: whether predict.py made the maps: it stores class indices, also where the dataset's labels do not.

    Raises DatasetError where there is no such folder, or no map of any of the samples in it.
    """

    def __init__(self, folder: Path, samples: Sequence[Sample]) -> None:
        missing: list[str] = []
        for self.folder in (folder, folder / MASKS_FOLDER):
            if self.folder == folder or self.folder.is_dir():
                self._files = files_by_id(self.folder, LABEL_SUFFIXES, missing)
            if any(self.path(sample) for sample in samples):
                break
        else:
            reason = "\n".join(missing) or (
                f"{folder} has no class map of any of the {len(samples)} photographs; maps are called after the ids, "
                f"the first of them {samples[0].id}.png"
            )
            raise DatasetError(reason)
        self.by_predict = self.folder.name == MASKS_FOLDER and (self.folder.parent / RECORD_FILE).is_file()

    def path(self, sample: Sample) -> Path | None:
        """Return the map of a sample; None where there is none.

        predict.py calls it after the whole name of the photograph where another one differs in the suffix alone.
        """
        return self._files.get(sample.id) or self._files.get(sample.id + sample.image_path.suffix)

    def stored_as(self, dataset: DatasetDescription) -> DatasetDescription:
        """Return how the maps store the dataset's classes: as its labels do, or by their indices."""
        return replace(dataset, first_label=0, ignore_label=IGNORE_LABEL) if self.by_predict else dataset


def score_folder(
    maps: MapFolder,
    samples: Sequence[Sample],
    dataset: DatasetDescription,
    correspondence: Correspondence,
    *,
    workers: int = 1,
) -> FolderScore:
    """Compare class maps with the samples' labels, in threads; raises DatasetError for labels that cannot be used."""
    scores = Scores(dataset.num_classes)
    problems: list[Problem] = []
    start = time.perf_counter()
    tasks = (partial(_score_one, maps, sample, dataset, correspondence) for sample in samples)
    with (
        Progress("score", len(samples), "images") as progress,
        prefetch(tasks, workers=workers, depth=4 * workers) as scored,
    ):
        for counted, problem in scored:
            scores.merge(counted)
            problems += [problem] if problem else []
            progress.advance()
    return FolderScore(scores, problems, len(samples), time.perf_counter() - start)


def read_map(
    maps: MapFolder, sample: Sample, correspondence: Correspondence, size: tuple[int, ...]
) -> NDArray[np.uint8]:
    """Return the class map (H, W) of a sample, 255 where it has none of the dataset's classes.

    Raises DatasetError where it is missing, unreadable or not of the `size` (H, W) of the label.
    """
    path = maps.path(sample)
    if path is None:
        raise DatasetError(f"{maps.folder / sample.id}.png: there is no such map")
    classes = correspondence.read(path)
    if classes.shape != size:
        turned = "; it is turned by 90 degrees, as the photograph's EXIF orientation may say" * (
            classes.shape == size[::-1]
        )
        raise DatasetError(
            f"{path} is {classes.shape[1]} x {classes.shape[0]} pixels, its label {size[1]} x {size[0]}{turned}"
        )
    return classes


def _score_one(
    maps: MapFolder, sample: Sample, dataset: DatasetDescription, correspondence: Correspondence
) -> tuple[Scores, Problem | None]:
    assert sample.label_path is not None
    scores, problem = Scores(dataset.num_classes), None
    label = read_label(sample.label_path, dataset)
    try:
        classes = read_map(maps, sample, correspondence, label.shape)
    except DatasetError as error:
        problem = Problem(sample.id, str(error))
        classes = np.full_like(label, IGNORE_LABEL)
    scores.update(classes, label)
    return scores, problem
