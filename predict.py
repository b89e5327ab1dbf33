"""Parse pictures, folders of pictures and videos: `python predict.py --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import hashlib
import json
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from dataset.command import DONE, NOT_ALL_WELL, run_command
from dataset.files import printable, show
from dataset.options import OptionParser
from dataset.workers import default_workers
from dataset.writing import check_writable
from utils import cli
from utils.checkpoint.classes import find_description
from utils.files import remove_leftovers
from utils.inference import HumanParser
from utils.inference.loading import default_device, default_engine
from utils.inference.people import PersonDetector
from utils.prediction.inputs import Found, InputError, counted_suffixes, find_sources, kept_classes, read_boxes
from utils.prediction.names import SUFFIXES
from utils.prediction.outputs import PictureWriter
from utils.prediction.plan import Job, Outputs, Plan, make_plan
from utils.prediction.record import Options, PredictionRecord, file_sha256
from utils.prediction.run import BulkParser
from utils.prediction.share import Share, shared_run
from utils.progress import Progress, duration

EPILOG = """\
results, each kind in a folder of its own, in it the tree of the input:
  masks/         PNGs whose values are the class indices (always)       (--mask-format)
  overlay/       the picture blended with its classes, and a legend     (--overlay)
  side_by_side/  the picture next to its classes, and a legend          (--side-by-side)
  cutout/        RGBA PNGs, background or unwanted classes transparent  (--cutout, --keep)
  instances/     PNGs whose values are the people's numbers, 0 = nobody (--instances)
  json/          size, area share and bounding box of each class        (--json)
  logits/        NumPy .npz files                                       (--logits)
A video becomes an MP4 in overlay/ (and side_by_side/) with the times of its frames and its sound; --frames adds the
results above for every frame. Videos need PyAV: pip install av

Results that are there already are not made again, so a run that was interrupted goes on when it is started again.
They are made anew where they belong to another file of the same name, to a picture that was changed since, to another
checkpoint or to other options: predictions.jsonl in the output folder says what each of them was made from.
The exit status is 0 if all went well, 1 if some inputs or folders could not be read, 2 if the run could not start or
go on, and 130 after Ctrl-C.

examples:
  python predict.py --checkpoint snapshots/LIP_epoch_Best.pth --input photo.jpg --output results --overlay
  python predict.py --checkpoint model.onnx --input photos/ clip.mp4 'more/*.png' --output results --cutout --json
"""


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(
        description="Parse the people in pictures and videos: which pixel is hair, face, coat, left shoe ...",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    group = parser.add_argument_group("what and where")
    add = group.add_argument
    add(
        "--input", nargs="+", required=True, metavar="PATH",
        help="pictures, videos, folders (searched to any depth) and glob patterns",
    )  # fmt: skip
    add("--output", required=True, type=Path, metavar="DIR", help="folder for the results")
    cli.add_checkpoint(group)
    add("--overwrite", action="store_true", help="make all results again, whatever is there already")
    add(
        "--large-pictures", action="store_true",
        help="take pictures of more than 179 million pixels, too, which else are refused: small files may unpack to "
        "gigabytes",
    )  # fmt: skip
    _add_results(parser)
    _add_network(parser)
    group = parser.add_argument_group("several people")
    cli.add_people(group)
    group.add_argument(
        "--boxes", metavar="FILE.json", type=Path,
        help='parse each person in a box: {"folder/photo.jpg": [[x0, y0, x1, y1], ...], ...}, by the path inside the '
        "input folder; pictures without an entry are parsed whole",
    )  # fmt: skip
    options = cli.parse_options(parser, arguments)
    _check_together(parser, options)
    options.alpha = options.alpha or "soft"
    return options


def _add_results(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("results")
    cli.add_mask_format(group)
    add = group.add_argument
    add("--overlay", action="store_true", help="the picture blended with its classes, with a legend")
    add("--side-by-side", action="store_true", help="the picture next to its classes, with a legend")
    add("--cutout", action="store_true", help="the people on a transparent background")
    add(
        "--keep", nargs="+", metavar="CLASS",
        help="classes that stay in the cut-out, by name or index (default: all but the background)",
    )  # fmt: skip
    add(
        "--alpha", choices=("soft", "hard"),
        help="of cut-outs. soft: across a border it follows the network's softmax; hard: all or nothing, as the class "
        "map says (default: soft)",
    )  # fmt: skip
    add("--instances", action="store_true", help="which pixel belongs to which person; with --people or --boxes")
    add("--json", action="store_true", help="area share and bounding box of each class, and of each person's classes")
    add(
        "--logits", nargs="?", const="network", choices=("network", "picture"),
        help="float16 logits of the network's crop (if no value is given: small, exact) or at the picture's size",
    )  # fmt: skip
    add(
        "--borders", choices=("smooth", "published"), default="smooth",
        help="smooth: the class of each pixel is the best one of the interpolated logits; published: that of the "
        "nearest pixel of the network's crop, as in the evaluation, coarse in large pictures (default: smooth)",
    )  # fmt: skip
    add("--frames", action="store_true", help="of videos: masks, and what else is wanted, of every single frame")


def _add_network(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("network")
    add = group.add_argument
    add(
        "--scales", type=cli.scales_option, default=(1.0,), metavar="S,S...",
        help="of the crop, averaged (default: 1; the published protocol is 0.75,1,1.25)",
    )  # fmt: skip
    add("--no-mirror", dest="mirror", action="store_false", help="do not average with the mirror image: twice as fast")
    add("--batch-size", type=cli.IMAGES_AT_ONCE, default=8, metavar="N", help="crops at once (default: 8)")
    cli.add_device_and_amp(group, for_prediction=True)
    cli.add_engine(group, deterministic=False)
    add("--input-size", type=cli.size_option, metavar="H,W", help="crop (default: the checkpoint's, else 473,473)")
    add(
        "--dataset", metavar="NAME",
        help="whose classes these are, where the checkpoint does not say: a built-in dataset or a dataset.json",
    )  # fmt: skip


def _check_together(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """End the program where options contradict each other, or one means nothing without another."""
    if options.keep and not options.cutout:
        parser.error("--keep says what stays in a cut-out; add --cutout")
    if options.alpha and not options.cutout:
        parser.error("--alpha is that of a cut-out; add --cutout")
    if options.boxes and options.people:
        parser.error("--boxes and --people both say where the people are; leave out one of them")
    if (options.boxes or options.people) and options.logits:
        parser.error("--logits are those of whole pictures; leave out --boxes and --people")
    if options.instances and not (options.boxes or options.people):
        parser.error("--instances tells people apart; add --people auto, or --boxes")


def run(options: argparse.Namespace) -> int:
    """Parse what the options name; return the exit status. Raises ValueError where nothing can be done.

    Where there are several processes, the main one decides what is to be done, and reports.
    """
    if options.output.exists() and not options.output.is_dir():
        raise InputError(f"--output '{options.output}' is a file; name a folder")
    warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # comes at half of the limit
    if options.large_pictures:
        Image.MAX_IMAGE_PIXELS = None
    device = options.device or default_device(options.engine or default_engine(options.checkpoint))
    with shared_run(device) as share:
        found, plan = share.from_main(lambda: find_work(options))
        start = time.monotonic()
        failures = share.gather(parse(options, plan, share) if plan.todo else [])
        if share.is_main:
            report(options.output, plan, failures, found, time.monotonic() - start)
    return NOT_ALL_WELL if failures or found.unreadable else DONE


def find_work(options: argparse.Namespace) -> tuple[Found, Plan]:
    """Return what the options name, and what of it is to be done."""
    found = find_sources(options.input, skipped=[options.output / kind for kind in SUFFIXES])
    boxes = read_boxes(options.boxes, found.sources) if options.boxes else {}
    outputs, common = wanted_outputs(options), network_options(options)
    jobs = []
    for source in found.sources:
        own_boxes = None if source.is_video else boxes.get(source.relative)
        jobs.append(Job(source, outputs, {**common, "boxes": own_boxes}, own_boxes))
    return found, make_plan(jobs, PredictionRecord(options.output), overwrite=options.overwrite)


def wanted_outputs(options: argparse.Namespace) -> Outputs:
    """Return what is to be written for pictures and for videos."""
    mask_format = {"mask-format": options.mask_format}
    keep = options.keep and sorted({name.casefold() for name in options.keep})
    return Outputs(
        folder=options.output,
        kinds=("masks", *(kind for kind in SUFFIXES if kind != "masks" and getattr(options, kind))),
        video_kinds=("overlay", "side_by_side") if options.side_by_side else ("overlay",),
        each_frame=options.frames,
        own_options={
            "masks": mask_format,
            "instances": mask_format,
            "cutout": {"keep": keep, "alpha": options.alpha},
            "logits": {"logits": options.logits},
        },
    )


def network_options(options: argparse.Namespace) -> Options:
    """Return the options that decide about class maps, for `PredictionRecord`; files by their content.

    Raises DatasetError for a dataset that is not there.
    """
    dataset = find_description(options.dataset)
    classes = hashlib.sha256(json.dumps(dataset and dataset.to_dict(), sort_keys=True).encode()).hexdigest()
    return {
        "checkpoint": file_digest(options.checkpoint),
        "dataset": dataset and f"{dataset.name} {classes}",
        "input-size": options.input_size and list(options.input_size),
        "scales": list(options.scales),
        "no-mirror": not options.mirror,
        "amp": options.amp,
        "engine": options.engine or default_engine(options.checkpoint),
        "borders": options.borders,
        "people": options.people,
        "people-weights": options.people_weights and file_digest(options.people_weights),
    }


def file_digest(path: str) -> str | None:
    """Return a digest of a file's content; None where it cannot be read, of which who tries to load it says why."""
    try:
        return file_sha256(path)
    except OSError:
        return None


def parse(options: argparse.Namespace, plan: Plan, share: Share) -> list[str]:
    """Load the network and do this process's share of what is to be done; return what could not be read."""
    outputs = wanted_outputs(options)
    for kind in outputs.kinds:
        check_writable(options.output / kind / "file")
    parser = HumanParser.from_checkpoint(
        options.checkpoint,
        share.device,
        options.amp,
        engine=options.engine,
        input_size=options.input_size,
        description=options.dataset,
        deterministic=options.deterministic,
    )
    keep = kept_classes(options.keep, parser.description)
    bulk_parser = BulkParser(
        parser=parser,
        options={
            "scales": options.scales,
            "mirror": options.mirror,
            "batch_size": options.batch_size,
            "borders": options.borders,
            "return_logits": options.logits,
            "alpha_of": keep if options.cutout and options.alpha == "soft" else None,
        },
        detector=PersonDetector.load(options.people_weights, share.device) if options.people else None,
        writer=PictureWriter(outputs, parser.description, keep, options.mask_format),
        record=PredictionRecord(options.output),
        workers=max(2, default_workers(sharing=2 * share.local_world_size)),
    )
    if share.is_main:
        begin(options.output, plan)
    failures: list[str] = []
    pictures = [job for job in plan.todo if not job.source.is_video]
    if own := share.of(pictures):
        title, before = "predict", sum(not job.source.is_video for job in plan.jobs) - len(pictures)
        if share.world_size > 1:
            title, before = f"predict, process {share.rank + 1} of {share.world_size}", 0
        with Progress(title, before + len(own), "pictures", done=before, quiet=not share.is_main) as progress:
            failures += bulk_parser.parse_pictures(own, progress)
    for video in share.of([job for job in plan.todo if job.source.is_video]):
        failures += bulk_parser.parse_video(video, quiet=not share.is_main)
    return failures


def begin(output: Path, plan: Plan) -> None:
    """Say what is made anew, and why; remove what killed runs have left half written."""
    for reason, jobs in plan.reasons.items():
        count = f"{len(jobs)} of {len(plan.jobs)} inputs, such as '{jobs[0].source.name}',"
        show(f"Parsing {count} anew: the results in '{output}' {reason}.")
    for kind in SUFFIXES:
        remove_leftovers(output / kind)


def report(output: Path, plan: Plan, failures: Sequence[str], found: Found, seconds: float) -> None:
    """Print what was done, and what was not."""
    jobs, todo = len(plan.jobs), len(plan.todo)
    if todo:
        text = f"{todo - len(failures)} of {jobs} inputs parsed in {duration(seconds)}, results in '{output}'"
        show(text + (f"; {jobs - todo} had been done before." if todo < jobs else "."))
    else:
        show(f"All results ({jobs}) are in '{output}' already; --overwrite makes them again.")
    if found.left_out:
        first = f"{counted_suffixes(found.left_out)}; the first is '{found.left_out[0]}'"
        show(f"Left out, since pictures and videos of these formats are not read: {first}", to=sys.stderr)
    if failures:
        show(f"{len(failures)} could not be read, or not to the end, or not written:", to=sys.stderr)
        for failure in failures:
            show(f"  {printable(failure)}", to=sys.stderr)
    if found.unreadable:
        show("These folders could not be searched for pictures:", to=sys.stderr)
        for error in found.unreadable:
            show(f"  {printable(error.filename)}: {error.strerror}", to=sys.stderr)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parse_options(arguments)
    return run_command(
        "predict.py",
        lambda: run(options),
        out_of_memory=f"choose a --batch-size below {options.batch_size}",
        interrupted="Interrupted. Finished results are kept; the same command continues from here.",
    )


if __name__ == "__main__":
    sys.exit(main())
