"""The command line that evaluate.py and evaluate_multiscale.py share: one engine, two protocols."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dataset.command import run_command
from dataset.descriptions import DatasetDescription, list_samples, load_description
from dataset.layouts import Sample
from dataset.options import WORKERS_OR_NONE, OptionParser
from dataset.reading import read_sample, save_label
from dataset.workers import cores_of_each, default_workers
from utils import cli
from utils.checkpoint.classes import check_same_classes
from utils.checkpoint.snapshots import load_model
from utils.cli import (
    IMAGES_AT_ONCE,
    HelpFormatter,
    add_device_and_amp,
    add_mask_format,
    scales_option,
    size_option,
)
from utils.distributed import Processes, start_processes, stop_processes
from utils.evaluation.engine import PredictionSink, evaluate
from utils.evaluation.report import evaluation_report, format_report
from utils.files import whole_file, write_json
from utils.inference.crop_parser import CropParser
from utils.inference.engines import TorchEngine
from utils.inference.human_parser import HumanParser
from utils.pictures.figures import Picture, colourise, confusion_picture, fit, grid, legend, save_picture, stack

EXAMPLES = 10


def parse_options(description: str, scales: Sequence[float], arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line; `scales` is the protocol's default."""
    parser = OptionParser(description=description, formatter_class=HelpFormatter)
    add = parser.add_argument
    add("--data-dir", required=True, help="the dataset's folder")
    add("--dataset", help="its name, where neither the folder nor the snapshot tells")
    add("--checkpoint", "--restore-from", required=True, metavar="FILE", help="a snapshot, or the published weights")
    add("--split", choices=("val", "train"), default="val")
    add("--input-size", type=size_option, metavar="H,W", help="crop (default: the snapshot's; 473,473 without one)")
    add("--scales", type=scales_option, default=tuple(scales), metavar="S,S...", help="of the crop, averaged")
    add("--mirror", action=argparse.BooleanOptionalAction, default=True, help="average with the mirror image")
    add("--batch-size", type=IMAGES_AT_ONCE, default=8, help="images at once in each process")
    add("--num-workers", type=WORKERS_OR_NONE, help="processes that read photographs (default: by the number of cores)")
    add_device_and_amp(parser)
    add("--report", metavar="FILE.json", help="write all figures there")
    add(
        "--save-predictions",
        metavar="DIR",
        help="write label maps there: PNGs at photograph size, mapped back by its exact centre",
    )
    add_mask_format(parser)
    add("--confusion-picture", metavar="FILE.png", help="draw the confusion matrix")
    add("--examples", metavar="FILE.png", help=f"draw {EXAMPLES} photographs with label and prediction")
    return cli.parse_options(parser, arguments)


def run(description: str, scales: Sequence[float], arguments: list[str] | None = None) -> int:
    """Evaluate by the command line; return the exit status."""
    options = parse_options(description, scales, arguments)

    def work() -> None:
        try:
            evaluate_and_report(options, start_processes(options.device))
        finally:
            stop_processes()

    advice = f"choose a --batch-size below {options.batch_size}, or fewer --scales"
    return run_command(Path(sys.argv[0]).name, work, out_of_memory=advice)


def evaluate_and_report(options: argparse.Namespace, processes: Processes) -> None:
    """Load, evaluate, print, and write what was asked for."""
    dataset = load_description(options.data_dir, options.dataset)
    samples = list_samples(options.data_dir, dataset, options.split)
    loaded = load_model(options.checkpoint, input_size=options.input_size)
    check_same_classes(loaded.description, loaded.model.num_classes, dataset, where=f"'{options.checkpoint}'")
    engine = TorchEngine(loaded.model.to(processes.device), processes.device, amp=options.amp)
    parser = CropParser(
        engine,
        scales=options.scales,
        mirror=options.mirror,
        flip_pairs=dataset.flip_pairs,
        cores=cores_of_each(processes.local_world_size),
    )
    workers = options.num_workers
    if workers is None:
        workers = default_workers(processes.local_world_size)
    evaluation = evaluate(
        parser,
        samples,
        dataset,
        processes,
        crop_size=loaded.model.input_size,
        batch_size=options.batch_size,
        num_workers=workers,
        on_prediction=save_to(options.save_predictions, dataset, options.mask_format)
        if options.save_predictions
        else None,
    )
    if not processes.is_main:
        return
    report = evaluation_report(evaluation, dataset.class_names, scales=options.scales, mirror=options.mirror)
    print(format_report(report), flush=True)
    if options.report:
        write_json(options.report, report)
    if options.examples:
        human_parser = HumanParser(engine, dataset, loaded.model.input_size)
        picture = examples_picture(human_parser, samples, scales=options.scales, mirror=options.mirror)
        save_picture(picture, options.examples)
    if options.confusion_picture:
        save_picture(confusion_picture(evaluation.confusion.matrix, dataset.class_names), options.confusion_picture)


def save_to(folder: str, dataset: DatasetDescription, mask_format: str = "palette") -> PredictionSink:
    """Return a function that writes class maps into a folder, by the ids of their samples; see `MASK_FORMATS`."""

    def save(sample: Sample, prediction: NDArray[np.uint8]) -> None:
        content = io.BytesIO()
        save_label(content, prediction, dataset, with_palette=mask_format == "palette")
        with whole_file(Path(folder, f"{sample.id}.png")) as file:  # an id may lie in subfolders
            file.write(content.getbuffer())

    Path(folder).mkdir(parents=True, exist_ok=True)
    return save


def examples_picture(
    parser: HumanParser, samples: Sequence[Sample], *, scales: Sequence[float], mirror: bool
) -> Picture:
    """Draw ten of the samples, evenly spaced over the set: photograph, label, prediction, and the legend."""
    count = min(EXAMPLES, len(samples))
    chosen = [samples[i * len(samples) // count] for i in range(count)]
    dataset, colours, cell = parser.description, parser.palette, (220, 150)
    rows: list[list[Picture]] = []
    for i, sample in enumerate(chosen):
        image, label = read_sample(sample, dataset)
        photograph = np.ascontiguousarray(image[..., ::-1])
        prediction = parser.predict(photograph, scales=scales, mirror=mirror)
        row = [
            fit(photograph, cell),
            fit(colourise(label, colours), cell, smooth=False),
            fit(colourise(prediction, colours), cell, smooth=False),
        ]
        if i % 2:  # two samples side by side
            rows[-1] += row
        else:
            rows.append(row)
    rows[-1] += [np.full((*cell, 3), 255, dtype=np.uint8)] * (len(rows[0]) - len(rows[-1]))
    captions = ("photograph", "label", "prediction") * (len(rows[0]) // 3)
    table = grid(rows, captions)
    return stack([table, legend(dataset.class_names, colours, table.shape[1])])
