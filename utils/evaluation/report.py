"""What an evaluation reports: a table for the eye, a JSON file for programs."""

from collections.abc import Iterable, Sequence
from typing import Any

from dataset.files import printable
from utils.evaluation.engine import Evaluation
from utils.evaluation.predictions import FolderScore
from utils.metrics import ConfusionMatrix

MEANS = {"mean_iou": "mIoU", "pixel_accuracy": "pixel accuracy", "mean_accuracy": "mean accuracy"}


def evaluation_report(
    evaluation: Evaluation, class_names: Sequence[str], *, scales: Sequence[float], mirror: bool
) -> dict[str, Any]:
    """Return all figures as plain JSON types; percentages are 0..100.

    The figures of the published protocol stand at the top, those with exact centres in "exact_centre".
    """
    return {
        **confusion_figures(evaluation.confusion, class_names),
        "exact_centre": confusion_figures(evaluation.exact_centre, class_names),
        "images": evaluation.images,
        "scales": list(scales),
        "mirror": mirror,
        "images_per_second": evaluation.images / max(evaluation.seconds, 1e-9),
    }


def folder_report(score: FolderScore, class_names: Sequence[str], *, folder: str, table: str | None) -> dict[str, Any]:
    """Return all figures of class maps in a folder as plain JSON types; `table` is the file that `--map` named."""
    return {
        **confusion_figures(score.confusion, class_names),
        "images": score.images,
        "predictions": folder,
        "map": table,
        "pixels_without_class": int(score.confusion.missed.sum()),
        "problems": [problem._asdict() for problem in score.problems],
        "images_per_second": score.images / max(score.seconds, 1e-9),
    }


def confusion_figures(confusion: ConfusionMatrix, class_names: Sequence[str]) -> dict[str, Any]:
    """Return the figures of a confusion matrix; the IoU of a class that never occurs is None.

    "present_classes" has the number of classes that do occur, and the means over them alone (the accuracy's over those
    that occur in the labels).
    """
    iou = [value if present else None for value, present in zip(confusion.iou.tolist(), confusion.present, strict=True)]
    return {
        **{name: getattr(confusion, name) for name in MEANS},
        "iou": dict(zip(class_names, iou, strict=True)),
        "present_classes": {
            "count": int(confusion.present.sum()),
            "mean_iou": confusion.mean_iou_present,
            "mean_accuracy": confusion.mean_accuracy_present,
        },
    }


def validation_figures(evaluation: Evaluation, class_names: Sequence[str]) -> dict[str, float | None]:
    """Return the figures that a training logs, by flat names: "mean_iou", "exact_centre/mean_iou", "iou/Hat" ..."""
    figures = confusion_figures(evaluation.confusion, class_names)
    flat = {name: figures[name] for name in MEANS}
    flat |= {f"exact_centre/{name}": getattr(evaluation.exact_centre, name) for name in MEANS}
    flat |= {f"present_classes/{name}": value for name, value in figures["present_classes"].items()}
    flat["images_per_second"] = evaluation.images / max(evaluation.seconds, 1e-9)
    return flat | {f"iou/{name}": iou for name, iou in figures["iou"].items()}


def format_report(report: dict[str, Any]) -> str:
    """Return the figures of a report as a table: of an evaluation, the published measure and beside it the one with
    exact centres; of class maps in a folder, the only one there is."""
    columns = {"IoU (%)": report}
    if "exact_centre" in report:
        columns["exact centre"] = report["exact_centre"]
    classes = {name: [figures["iou"][name] for figures in columns.values()] for name in report["iou"]}
    means = {label: [figures[name] for figures in columns.values()] for name, label in MEANS.items()}
    absent = any(value is None for values in classes.values() for value in values)
    if absent:
        for name in ("mean_iou", "mean_accuracy"):
            present = [figures["present_classes"][name] for figures in columns.values()]
            means[f"{MEANS[name]}, classes present"] = present

    width = max(len(name) for name in (*classes, *means))

    def row(name: str, cells: Iterable[str]) -> str:
        padded = (f"{cell:>{len(heading)}}" for heading, cell in zip(columns, cells, strict=True))
        return "  ".join([f"{name:<{width}}", *padded])

    head = row("class", columns)
    line = "-" * len(head)
    rows = [head, line]
    rows += [row(name, map(_cell, values)) for name, values in classes.items()]
    rows.append(line)
    rows += [row(name, map(_cell, values)) for name, values in means.items()]
    return "\n".join([*rows, "", *_notes(report, absent=absent)])


def _notes(report: dict[str, Any], *, absent: bool) -> list[str]:
    """Return the lines below the table: what its figures mean, and what they are of."""
    notes = []
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


def _cell(percentage: float | None) -> str:
    return "-" if percentage is None else f"{percentage:.2f}"
