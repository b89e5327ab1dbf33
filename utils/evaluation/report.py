"""What an evaluation reports: a table and examples for the eye, a JSON file for programs."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset.descriptions import DatasetDescription
from dataset.files import printable
from dataset.layouts import Sample
from dataset.reading import read_sample
from utils.evaluation.engine import Evaluation
from utils.evaluation.predictions import FolderScore
from utils.evaluation.scores import Scores
from utils.pictures.figures import Picture, fit, grid, legend, stack

EXAMPLES = 10
Predict = Callable[[Sample, Picture], NDArray[np.uint8]]
"""From a sample and its photograph (H, W, 3) RGB to its class map (H, W)."""

_BY_CLASS = ("iou", "boundary_iou")
_MEANS = {
    "mIoU": ("mean_iou", "mean_boundary_iou"),
    "pixel accuracy": ("pixel_accuracy", ""),
    "mean accuracy": ("mean_accuracy", ""),
}
"""Of each row of means, which figures stand below those of the classes, `_BY_CLASS`."""


def evaluation_report(
    evaluation: Evaluation, class_names: Sequence[str], *, scales: Sequence[float], mirror: bool
) -> dict[str, Any]:
    """Return all figures as plain JSON types; percentages are 0..100.

    The figures of the published protocol stand at the top, those with exact centres in "exact_centre".
    """
    return {
        **figures_of(evaluation.published, class_names),
        "exact_centre": figures_of(evaluation.exact, class_names),
        "images": evaluation.images,
        "scales": list(scales),
        "mirror": mirror,
        "images_per_second": evaluation.images / max(evaluation.seconds, 1e-9),
    }


def folder_report(score: FolderScore, class_names: Sequence[str], *, folder: str, table: str | None) -> dict[str, Any]:
    """Return all figures of class maps in a folder as plain JSON types; `table` is the file that `--map` named."""
    return {
        **figures_of(score.scores, class_names),
        "images": score.images,
        "predictions": folder,
        "map": table,
        "pixels_without_class": int(score.scores.confusion.missed.sum()),
        "problems": score.problems,
        "images_per_second": score.images / max(score.seconds, 1e-9),
    }


def figures_of(scores: Scores, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of predictions; those of a class that never occurs are None.

    "present_classes" has the number of classes that do occur, and the means over them alone (the accuracy's over those
    that occur in the labels).
    """
    confusion, boundary = scores.confusion, scores.boundary
    return {
        **_means(scores),
        "iou": _by_class(class_names, confusion.iou, confusion.present),
        "boundary_iou": _by_class(class_names, boundary.iou, confusion.present),
        "present_classes": {
            "count": int(confusion.present.sum()),
            "mean_iou": confusion.mean_iou_present,
            "mean_boundary_iou": boundary.mean_iou_present,
            "mean_accuracy": confusion.mean_accuracy_present,
        },
    }


def _means(scores: Scores) -> dict[str, float]:
    confusion = scores.confusion
    return {
        "mean_iou": confusion.mean_iou,
        "mean_boundary_iou": scores.boundary.mean_iou,
        "pixel_accuracy": confusion.pixel_accuracy,
        "mean_accuracy": confusion.mean_accuracy,
    }


def _by_class(
    class_names: Sequence[str], values: NDArray[np.float64], present: NDArray[np.bool_]
) -> dict[str, float | None]:
    known = [value if there else None for value, there in zip(values.tolist(), present, strict=True)]
    return dict(zip(class_names, known, strict=True))


def validation_figures(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, float | None]:
    """Return the figures that a training logs, by flat names: "mean_iou", "exact_centre/mean_iou", "iou/Hat" ..."""
    figures = figures_of(evaluation.published, class_names) | {"exact_centre": _means(evaluation.exact)}
    flat = {**_means(evaluation.published), "images_per_second": evaluation.images / max(evaluation.seconds, 1e-9)}
    groups = ("exact_centre", "present_classes", "iou")
    return flat | {f"{group}/{name}": value for group in groups for name, value in figures[group].items()}


def format_report(report: dict[str, Any]) -> str:
    """Return the figures of a report as a table: of an evaluation, the published measure and beside it the one with
    exact centres; of class maps in a folder, the only one there is."""
    sets = [report, report["exact_centre"]] if "exact_centre" in report else [report]
    heads = ["IoU (%)", "boundary", "exact centre", "boundary"][: 2 * len(sets)]
    classes = {name: [figures[key][name] for figures in sets for key in _BY_CLASS] for name in report["iou"]}
    absent = any(value is None for values in classes.values() for value in values)
    means = {label: [figures.get(key) for figures in sets for key in keys] for label, keys in _MEANS.items()}
    if absent:
        for label, keys in _MEANS.items():
            present = [figures["present_classes"].get(key) for figures in sets for key in keys]
            if present[0] is not None:
                means[f"{label}, classes present"] = present

    width = max(len(name) for name in (*classes, *means))

    def row(name: str, cells: Iterable[str]) -> str:
        padded = (f"{cell:>{len(heading)}}" for heading, cell in zip(heads, cells, strict=True))
        return "  ".join([f"{name:<{width}}", *padded]).rstrip()

    head = row("class", heads)
    line = "-" * len(head)
    rows = [head, line]
    rows += [row(name, (_cell(value, "-") for value in values)) for name, values in classes.items()]
    rows.append(line)
    rows += [row(name, (_cell(value, "") for value in values)) for name, values in means.items()]
    return "\n".join([*rows, "", *_notes(report, absent=absent)])


def _notes(report: dict[str, Any], *, absent: bool) -> list[str]:
    """Return the lines below the table: what its figures mean, and what they are of."""
    notes = ["boundary: IoU of the regions along the borders of classes, 2 % of the diagonal deep"]
    if "exact_centre" in report:
        notes += [
            "IoU: predictions mapped back by the photograph's centre in whole pixels, as published",
            "exact centre: the same predictions mapped back by the exact centre, as they are saved",
        ]
    if absent:
        notes.append("-: a class in no label and no prediction, which counts 0 in the mIoU and the mean accuracy")
    rate = f"{report['images_per_second']:.1f} images/s"
    if "scales" in report:
        scales = ", ".join(f"{scale:g}" for scale in report["scales"])
        mirror = "with" if report["mirror"] else "without"
        return [*notes, f"{report['images']} images, scales {scales}, {mirror} mirror, {rate}"]
    if report["pixels_without_class"]:
        notes.append(
            f"{report['pixels_without_class']} labelled pixels have no class in the predictions, and count as wrong"
        )
    return [*notes, printable(f"{report['images']} images, class maps in '{report['predictions']}', {rate}")]


def _cell(percentage: float | None, absent: str) -> str:
    return absent if percentage is None else f"{percentage:.2f}"


def examples_picture(predict: Predict, samples: Sequence[Sample], dataset: DatasetDescription) -> Picture:
    """Draw ten of the samples, evenly spaced over the set: photograph, label, prediction, and the legend."""
    count = min(EXAMPLES, len(samples))
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    colours, cell = dataset.palette, (220, 150)
    cells: list[Picture] = []
    for sample in chosen:
        image, label = read_sample(sample, dataset)
        photograph = np.ascontiguousarray(image[..., ::-1])
        prediction = predict(sample, photograph)
        maps = [fit(colours[classes], cell, smooth=False) for classes in (label, prediction)]
        cells += [fit(photograph, cell), *maps]
    columns = min(len(cells), 6)  # two samples side by side
    cells += [np.full((*cell, 3), 255, dtype=np.uint8)] * (-len(cells) % columns)
    rows = [cells[start : start + columns] for start in range(0, len(cells), columns)]
    table = grid(rows, ("photograph", "label", "prediction") * (columns // 3))
    return stack([table, legend(dataset.class_names, colours, table.shape[1])])
