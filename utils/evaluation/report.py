"""What an evaluation reports: a table for the eye, a JSON file for programs."""

from collections.abc import Sequence
from typing import Any

from utils.evaluation.engine import Evaluation
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
    """Return the figures of a report as a table: the published measure, and beside it the one with exact centres."""
    both = (report, report["exact_centre"])
    classes = {name: [figures["iou"][name] for figures in both] for name in report["iou"]}
    means = {label: [figures[name] for figures in both] for name, label in MEANS.items()}
    absent = any(value is None for values in classes.values() for value in values)
    if absent:
        for name in ("mean_iou", "mean_accuracy"):
            means[f"{MEANS[name]}, classes present"] = [figures["present_classes"][name] for figures in both]

    width = max(len(name) for name in (*classes, *means))
    line = "-" * (width + 23)
    rows = [f"{'class':<{width}}  IoU (%)  exact centre", line]
    rows += [f"{name:<{width}}  {_cell(iou):>7}  {_cell(exact):>12}" for name, (iou, exact) in classes.items()]
    rows.append(line)
    rows += [f"{name:<{width}}  {_cell(mean):>7}  {_cell(exact):>12}" for name, (mean, exact) in means.items()]
    rows += [
        "",
        "IoU: predictions mapped back by the photograph's centre in whole pixels, as published",
        "exact centre: the same predictions mapped back by the exact centre, as they are saved",
    ]
    if absent:
        rows.append("-: a class in no label and no prediction, which counts 0 in the mIoU and the mean accuracy")
    scales = ", ".join(f"{scale:g}" for scale in report["scales"])
    rows.append(
        f"{report['images']} images, scales {scales}, {'with' if report['mirror'] else 'without'} mirror, "
        f"{report['images_per_second']:.1f} images/s"
    )
    return "\n".join(rows)


def _cell(percentage: float | None) -> str:
    return "-" if percentage is None else f"{percentage:.2f}"
