"""The command line that evaluate.py and evaluate_multiscale.py share: one engine, two protocols."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataset.command import DONE, NOT_ALL_WELL, CommandError, run_command
from dataset.descriptions import DatasetDescription, list_samples, load_description
from dataset.files import printable, show
from dataset.layouts import Sample
from dataset.options import WORKERS_OR_NONE, OptionParser
from dataset.reading import save_label
from dataset.workers import cores_of_each, default_workers
from dataset.writing import check_outputs, write_json
from utils import cli
from utils.checkpoint.classes import check_same_classes
from utils.cli import (
    IMAGES_AT_ONCE,
    HelpFormatter,
    add_checkpoint,
    add_device_and_amp,
    add_engine,
    add_mask_format,
    scales_option,
    size_option,
)
from utils.distributed import Processes, leaving_processes, start_processes
from utils.evaluation.engine import PredictionSink, evaluate
from utils.evaluation.predictions import MapFolder
from utils.evaluation.report import EXAMPLES, Predict, evaluation_report, examples_picture, folder_report, format_report
from utils.inference.crop_parser import CropParser
from utils.inference.human_parser import HumanParser
from utils.inference.loading import default_device, default_engine, load_engine
from utils.metrics import ConfusionMatrix
from utils.pictures.figures import Picture, confusion_picture, save_picture

SHOWN_PROBLEMS = 20
_OF_NETWORKS = (
    *("input_size", "scales", "mirror", "batch_size", "device", "amp", "engine", "deterministic"),
    *("save_predictions", "mask_format"),
)
"""Options that mean nothing where class maps are given."""


def parse_options(description: str, scales: Sequence[float], arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; `scales` is the protocol's default."""
    parser = OptionParser(description=description, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("--data-dir", required=True, help="the dataset's folder")
    add("--dataset", help="its name, where neither the folder nor the snapshot tells")
    judged = parser.add_mutually_exclusive_group(required=True)
    add_checkpoint(judged, required=False)
    judged.add_argument(
        "--predictions",
        metavar="DIR",
        help="class maps of any parser, DIR/ID.png or DIR/masks/ID.png: PNGs of the labels' sizes that store classes "
        "as the labels do; no network is built",
    )
    add("--map", metavar="FILE.json", help="which classes those of --predictions stand for, where they are others")
    add("--split", choices=("val", "train"), default="val")
    add("--input-size", type=size_option, metavar="H,W", help="crop (default: the snapshot's; 473,473 without one)")
    add("--scales", type=scales_option, default=tuple(scales), metavar="S,S...", help="of the crop, averaged")
    add("--mirror", action=argparse.BooleanOptionalAction, default=True, help="average with the mirror image")
    add("--batch-size", type=IMAGES_AT_ONCE, default=8, help="images at once in each process")
    add("--num-workers", type=WORKERS_OR_NONE, help="processes that read photographs (default: by the number of cores)")
    add_device_and_amp(parser)
    add_engine(parser, deterministic=True)
    add("--report", metavar="FILE.json", help="write all figures there")
    add(
        "--save-predictions",
        metavar="DIR",
        help="write label maps there: PNGs at photograph size, mapped back by its exact centre",
    )
    add_mask_format(parser)
    add("--confusion-picture", metavar="FILE.png", help="draw the confusion matrix")
    add("--examples", metavar="FILE.png", help=f"draw {EXAMPLES} photographs with label and prediction")
    options = cli.parse_options(parser, arguments)
    if options.map and not options.predictions:
        parser.error("--map is for --predictions")
    unused = [name for name in _OF_NETWORKS if getattr(options, name) != parser.get_default(name)]
    if options.predictions and unused:
        parser.error(f"--{unused[0].replace('_', '-')} is for a network; --predictions are taken as they are")
    return options


def run(description: str, scales: Sequence[float], arguments: list[str] | None = None) -> int:
    """Evaluate by the command line; return the exit status."""
    options = parse_options(description, scales, arguments)

    def work() -> int:
        check_outputs(options, "report", "examples", "confusion_picture", folders=["save_predictions"])
        if options.predictions:
            return score_and_report(options)
        device = options.device or default_device(options.engine or default_engine(options.checkpoint))
        with leaving_processes():
            evaluate_and_report(options, start_processes(device))
        return DONE

    advice = f"choose a --batch-size below {options.batch_size}, or fewer --scales"
    return run_command(Path(sys.argv[0]).name, work, out_of_memory=advice)


def evaluate_and_report(options: argparse.Namespace, processes: Processes) -> None:
    """Load, evaluate, print, and write what was asked for."""
    dataset = load_description(options.data_dir, options.dataset)
    samples = list_samples(options.data_dir, dataset, options.split)
    cores = cores_of_each(processes.local_world_size)
    loaded = load_engine(
        options.checkpoint,
        processes.device,
        engine=options.engine,
        amp=options.amp,
        input_size=options.input_size,
        deterministic=options.deterministic,
        cores=cores,
    )
    check_same_classes(loaded.description, loaded.num_classes, dataset, where=f"'{options.checkpoint}'")
    parser = CropParser(
        loaded.engine,
        scales=options.scales,
        mirror=options.mirror,
        flip_pairs=dataset.flip_pairs,
        deterministic=options.deterministic,
        cores=cores,
    )
    workers = default_workers(processes.local_world_size) if options.num_workers is None else options.num_workers
    save = save_to(options.save_predictions, dataset, options.mask_format) if options.save_predictions else None
    evaluation = evaluate(
        parser,
        samples,
        dataset,
        processes,
        input_size=loaded.input_size,
        batch_size=options.batch_size,
        num_workers=workers,
        on_prediction=save,
    )
    if not processes.is_main:
        return
    report = evaluation_report(evaluation, dataset.class_names, scales=options.scales, mirror=options.mirror)
    human_parser = HumanParser(loaded.engine, dataset, loaded.input_size, deterministic=options.deterministic)

    def predict(sample: Sample, photograph: Picture) -> NDArray[np.uint8]:
        # With the borders that were measured.
        return human_parser.predict(photograph, scales=options.scales, mirror=options.mirror, borders="published")

    write_report(options, report, evaluation.published.confusion, dataset, samples, predict)


def score_and_report(options: argparse.Namespace) -> int:
    """Score class maps in a folder, print, and write what was asked for; return the exit status."""
    if int(os.environ.get("WORLD_SIZE", 1)) > 1:
        raise CommandError("--predictions are scored by one process; start evaluate.py without torchrun")
    dataset = load_description(options.data_dir, options.dataset)
    samples = list_samples(options.data_dir, dataset, options.split)
    maps = MapFolder(Path(options.predictions), samples, dataset, Path(options.map) if options.map else None)
    workers = default_workers() if options.num_workers is None else max(1, options.num_workers)
    score = maps.score(samples, workers=workers)
    report = folder_report(score, dataset.class_names, folder=options.predictions, table=options.map)

    def prediction(sample: Sample, photograph: Picture) -> NDArray[np.uint8]:
        return maps.read(sample, photograph.shape[:2])[0]

    write_report(options, report, score.scores.confusion, dataset, samples, prediction)
    if not score.problems:
        return DONE
    count = len(score.problems)
    show(f"{count} of {score.images} class maps cannot be used, and count as wrong everywhere:", to=sys.stderr)
    for problem in score.problems[:SHOWN_PROBLEMS]:
        show(f"  {printable(problem['reason'])}", to=sys.stderr)
    if count > SHOWN_PROBLEMS:
        show(f"  ... and {count - SHOWN_PROBLEMS} more; --report FILE.json has them all", to=sys.stderr)
    return NOT_ALL_WELL


def write_report(
    options: argparse.Namespace,
    report: dict[str, Any],
    confusion: ConfusionMatrix,
    dataset: DatasetDescription,
    samples: Sequence[Sample],
    predict: Predict,
) -> None:
    """Print a report, and write the files that were asked for; `predict` gives the class maps of examples."""
    show(format_report(report))
    if options.report:
        write_json(options.report, report)
    if options.examples:
        save_picture(examples_picture(predict, samples, dataset), options.examples)
    if options.confusion_picture:
        save_picture(confusion_picture(confusion, dataset.class_names), options.confusion_picture)


def save_to(folder: str, dataset: DatasetDescription, mask_format: str = "palette") -> PredictionSink:
    """Return a function that writes class maps into a folder, by the ids of their samples; see `MASK_FORMATS`."""

    def save(sample: Sample, prediction: NDArray[np.uint8]) -> None:
        save_label(Path(folder, f"{sample.id}.png"), prediction, dataset, with_palette=mask_format == "palette")

    Path(folder).mkdir(parents=True, exist_ok=True)
    return save
