"""What an evaluation reports: a table for the eye, a JSON file for programs, a picture of the confusions."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from utils.evaluation import Evaluation


def evaluation_report(
    evaluation: Evaluation, class_names: Sequence[str], *, scales: Sequence[float], mirror: bool
) -> dict[str, Any]:
    """Return all figures as plain JSON types; percentages are 0..100."""
    confusion = evaluation.confusion
    return {
        "mean_iou": confusion.mean_iou,
        "pixel_accuracy": confusion.pixel_accuracy,
        "mean_accuracy": confusion.mean_accuracy,
        "iou": dict(zip(class_names, confusion.iou.tolist(), strict=True)),
        "images": evaluation.images,
        "scales": list(scales),
        "mirror": mirror,
        "images_per_second": evaluation.images / max(evaluation.seconds, 1e-9),
    }


def write_report(report: dict[str, Any], path: str | Path) -> None:
    """Write a report as JSON, making its folder if need be."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def format_report(report: dict[str, Any]) -> str:
    """Return the figures of a report as a table."""
    width = max(len(name) for name in [*report["iou"], "pixel accuracy"])
    line = "-" * (width + 9)
    rows = [f"{'class':<{width}}  IoU (%)", line]
    rows += [f"{name:<{width}}  {iou:7.2f}" for name, iou in report["iou"].items()]
    rows.append(line)
    for name in ("mean_iou", "pixel_accuracy", "mean_accuracy"):
        label = "mIoU" if name == "mean_iou" else name.replace("_", " ")
        rows.append(f"{label:<{width}}  {report[name]:7.2f}")
    scales = ", ".join(f"{scale:g}" for scale in report["scales"])
    rows.append("")
    rows.append(
        f"{report['images']} images, scales {scales}, {'with' if report['mirror'] else 'without'} mirror, "
        f"{report['images_per_second']:.1f} images/s"
    )
    return "\n".join(rows)
