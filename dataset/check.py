"""Look at a whole dataset: what is wrong with it, and what is in it.

    python -m dataset.check --data-dir DIR [--dataset NAME] [--output chart.png] [--report report.json]

Exit status: 0 without problems (there may be warnings), 1 with, 2 where there is no dataset to look at.
"""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from dataset import IGNORE_LABEL
from dataset.class_chart import draw_class_chart
from dataset.command import DONE, NOT_ALL_WELL, run_command
from dataset.content import Problem, SampleFindings, SplitContent, findings_of
from dataset.descriptions import DatasetDescription, load_description
from dataset.files import show
from dataset.layouts import SPLITS, DatasetError, Sample, describe_layout, read_split, split_exists, split_paths
from dataset.options import WORKERS, OptionParser
from dataset.reading import check_same_size, read_image, read_label, read_people, save_picture
from dataset.suspicions import suspicions
from dataset.workers import default_workers, thread_pool
from dataset.writing import check_outputs, write_json

SHOWN_PER_KIND = 20


def check_dataset(
    data_dir: str | Path, description: DatasetDescription, workers: int = 1
) -> tuple[dict[str, SplitContent], list[Problem]]:
    """Return the contents of every split that the folder has, and everything that is wrong with them.

    Raises DatasetError where the folder has nothing of the layout at all.
    """
    contents: dict[str, SplitContent] = {}
    problems: list[Problem] = []
    ids: dict[str, list[str]] = {}
    for split in SPLITS:
        if split_exists(data_dir, description.layout, split):
            samples, found = pair_files(data_dir, description.layout, split)
            contents[split], unreadable = check_samples(samples, description, split, workers)
            problems += found + unreadable
            ids[split] = [sample.id for sample in samples]
    if not contents:
        layout = description.layout
        raise DatasetError(f"{data_dir} has nothing of the {layout} layout: {describe_layout(layout)}")
    problems += [
        Problem("in two splits", "train, val", f"{name} is a photograph of both splits; the scores would flatter")
        for name in sorted(set(ids.get("train", ())) & set(ids.get("val", ())))
    ]
    return contents, problems


def pair_files(data_dir: str | Path, layout: str, split: str) -> tuple[list[Sample], list[Problem]]:
    """Return the samples of a split whose photograph exists, and what does not pair up."""
    contents = read_split(data_dir, layout, split)
    ids, images, labels, people, repeated, missing = contents
    images_folder, labels_folder, id_list, _ = split_paths(data_dir, layout, split)
    source = id_list or images_folder
    found = [("missing", message) for message in missing]
    for name, lines in repeated.items():
        where = ", ".join(map(str, lines))
        found.append(("listed twice", f"{id_list} has {name} {len(lines)} times (lines {where})"))
    for folder, files, kind in ((images_folder, images, "photograph"), (labels_folder, labels, "label map")):
        if not folder.is_dir():
            continue  # then every file is missing, which is said already
        lacking = [name for name in ids if name not in files]
        found += [(f"no {kind}", f"{folder} has no {kind} of {name}, which {source} has") for name in lacking]
        surplus = files.keys() - set(ids)
        found += [
            ("not listed", f"{path} is not used: {source} does not have {name}")
            for name, path in files.items()
            if name in surplus
        ]
    if people:
        lacking = [name for name in ids if name not in people]
        found += [("no person map", f"there is no person map of {name}, which {source} has") for name in lacking]
    return contents.samples(), [Problem(kind, split, message) for kind, message in found]


def check_samples(
    samples: Sequence[Sample], description: DatasetDescription, split: str, workers: int
) -> tuple[SplitContent, list[Problem]]:
    """Read every photograph and label map; return what is in them and what is wrong with them."""
    content = SplitContent(description.num_classes, len(samples))
    problems: list[Problem] = []
    with thread_pool(workers) as pool:  # threads: decoding runs outside Python's lock
        found = pool.map(partial(check_sample, description=description), samples)
        for findings, wrong in tqdm(found, total=len(samples), desc=split, unit=" photographs", disable=None):
            content.add(findings)
            problems += [Problem(kind, split, message) for kind, message in wrong]
    return content, problems


def check_sample(sample: Sample, description: DatasetDescription) -> tuple[SampleFindings, list[tuple[str, str]]]:
    """Read one sample; return what it shows, each part also where the other one is damaged, and what is wrong."""
    problems: list[tuple[str, str]] = []
    image: NDArray[np.uint8] | None = None
    label: NDArray[np.uint8] | None = None

    @contextlib.contextmanager
    def noted(kind: str) -> Iterator[None]:
        try:
            yield
        except DatasetError as error:
            problems.append((kind, str(error)))

    with noted("damaged photograph"):
        image = read_image(sample.image_path)
    with noted("wrong label map"):
        label = None if sample.label_path is None else read_label(sample.label_path, description)
    with noted("size mismatch"):
        if image is not None and label is not None:
            check_same_size(sample.image_path, image, sample.label_path, label)
    with noted("wrong person map"):
        people = read_people(sample)
        if image is not None and people is not None:
            check_same_size(sample.image_path, image, sample.people_path, people)
    size = None if image is None else (image.shape[0], image.shape[1])
    return findings_of(sample, description, label)._replace(size=size), problems


def format_contents(contents: dict[str, SplitContent], class_names: Sequence[str]) -> str:
    """Return two text tables: the splits' sizes, and per class its share of pixels and its photographs."""
    lines = [f"{'split':7}{'photographs':>12}  {'height min/median/max':>22}  {'width min/median/max':>22}"]
    for split, content in contents.items():
        height, width = ("/".join(str(value) for value in _spread(content, axis).values()) or "-" for axis in (0, 1))
        lines.append(f"{split:7}{len(content.sizes):12}  {height:>22}  {width:>22}")
    name_width = max(len("(ignored)"), *map(len, class_names)) + 2
    lines += [
        "",
        f"{'class':>5} {'':{name_width}}" + "".join(f"{s + ' pixels':>14}{'in photos':>11}" for s in contents),
    ]
    shares = [(content.shares(), content.images_with) for content in contents.values()]
    for index, name in enumerate(class_names):
        cells = "".join(f"{share[index]:13.3f}%{images[index]:11d}" for share, images in shares)
        lines.append(f"{index:5} {name:{name_width}}{cells}")
    ignored = "".join(f"{c.ignored_share():13.3f}%{c.images_with[IGNORE_LABEL]:11d}" for c in contents.values())
    return "\n".join([*lines, f"{'':5} {'(ignored)':{name_width}}{ignored}"])


def format_problems(problems: Sequence[Problem], warnings: Sequence[Problem]) -> str:
    """Return the problems by kind, the first twenty of each kind in full, after the warnings."""
    lines = [f"warning: {warning.split}: {warning.message}" for warning in warnings]
    if lines:
        lines.append("")
    if not problems:
        above = f" But mind the {_counted(warnings, 'warning')} above." if warnings else ""
        return "\n".join([*lines, f"No problems found.{above}"])
    for kind, count in Counter(problem.kind for problem in problems).items():
        lines.append(f"{kind} ({count}):")
        messages = [f"  {problem.split}: {problem.message}" for problem in problems if problem.kind == kind]
        lines += messages[:SHOWN_PER_KIND]
        if count > SHOWN_PER_KIND:
            lines.append(f"  ... and {count - SHOWN_PER_KIND} more; --report FILE.json has them all")
    return "\n".join([*lines, "", f"{_counted(problems, 'problem')} found."])


def _counted(items: Sequence[Problem], name: str) -> str:
    return f"{len(items)} {name}{'s' * (len(items) > 1)}"


def _report(content: SplitContent, class_names: Sequence[str]) -> dict[str, Any]:
    """Return what is in a split as plain JSON types."""
    return {
        "photographs": len(content.sizes),
        "label_maps": content.label_maps,
        "height": _spread(content, 0),
        "width": _spread(content, 1),
        "pixels": dict(zip(class_names, content.pixels.tolist(), strict=False)),
        "photographs_with": dict(zip(class_names, content.images_with.tolist(), strict=False)),
        "ignored_pixels": int(content.pixels[IGNORE_LABEL]),
    }


def _spread(content: SplitContent, axis: int) -> dict[str, int]:
    """Return the smallest, median and largest height (axis 0) or width (axis 1); nothing without photographs."""
    values = sorted(size[axis] for size in content.sizes)
    return {"min": values[0], "median": values[len(values) // 2], "max": values[-1]} if values else {}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    parser = OptionParser(
        prog="python -m dataset.check",
        description="Look at a whole dataset: what is wrong with it, and what is in it.",
        epilog="Exit status: 0 without problems (there may be warnings), 1 with, 2 where there is no dataset.",
    )
    parser.add_argument("--data-dir", type=Path, required=True, help="the dataset's folder")
    parser.add_argument("--dataset", metavar="NAME", help="lip, cihp, atr, ...; found out where it is left out")
    parser.add_argument("--output", type=Path, metavar="CHART.png", help="draw the classes' shares as a picture")
    parser.add_argument("--report", type=Path, metavar="FILE.json", help="write everything found as JSON")
    parser.add_argument("--workers", type=WORKERS, default=default_workers(), help="threads that read")
    options = parser.parse_args(arguments)
    if options.output and options.output.suffix != ".png":
        parser.error(f"--output must end in .png, not {options.output.name!r}")
    return run_command("dataset.check", lambda: run(options))


def run(options: argparse.Namespace) -> int:
    """Check a dataset as the options say, and print and write what was found; return the exit status."""
    check_outputs(options, "report", "output")
    description = load_description(options.data_dir, options.dataset)
    contents, problems = check_dataset(options.data_dir, description, options.workers)
    warnings = suspicions(contents, description)
    show(f"{description.name}: {description.num_classes} classes, in {options.data_dir}\n")
    show(f"{format_contents(contents, description.class_names)}\n")
    show(format_problems(problems, warnings))
    if options.report:
        report = {
            "data_dir": str(options.data_dir),
            "dataset": description.to_dict(),
            "splits": {split: _report(content, description.class_names) for split, content in contents.items()},
            "problems": [problem._asdict() for problem in problems],
            "warnings": [warning._asdict() for warning in warnings],
        }
        write_json(options.report, report)
    if options.output:
        save_picture(options.output, draw_class_chart(description, contents), "PNG")
    return NOT_ALL_WELL if problems else DONE


if __name__ == "__main__":
    sys.exit(main())
