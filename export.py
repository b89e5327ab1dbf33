"""Export a trained network for other programs: `python export.py --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import os
import sys
import time
from pathlib import Path

from dataset.command import run_command
from dataset.files import show
from dataset.options import OptionParser
from dataset.writing import check_outputs
from utils.checkpoint.classes import find_description, resolve_description
from utils.checkpoint.metadata import NetworkMetadata
from utils.checkpoint.snapshots import load_model
from utils.cli import add_checkpoint, size_option
from utils.export.export import FORMATS, WEIGHTS_ALONE, export
from utils.export.verify import overall_agreement

EPILOG = """\
formats:
  onnx         for onnxruntime and others; predict.py reads it too (needs: pip install -e ".[export]")
  torch        a program for torch.export.load, without this project's code
  safetensors  the weights, with classes, colours, normalisation and input size in the header: the one to share; every
               command here takes it as a --checkpoint
  published    the weights under the names of the published CSENet, for its code

ONNX files and programs take images (N, 3, H, W) float32, BGR, normalised as their metadata say, any number and any
size from 65 x 65. They return logits (N, classes, H/4, W/4, rounded up), or with --classes the class of each pixel,
(N, H, W) uint8.

Every file is compared with PyTorch on random images and drawn people before it gets its name. The exit status is 0
if it is equal (logits to 0.001, classes on 99.99 % of the pixels), 2 if it is not or could not be written.
"""


def parse_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = OptionParser(
        description="Export a trained network for other programs.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add_checkpoint(parser, "safetensors")
    add("--format", required=True, choices=list(FORMATS))
    add("--output", required=True, type=Path, metavar="FILE", help="usually .onnx, .pt2, .safetensors or .pth")
    add("--classes", action="store_true", help="end in class indices instead of logits (onnx, torch)")
    add(
        "--input-size", type=size_option, metavar="H,W",
        help="crop of the training (default: the snapshot's; 473,473 for other checkpoints)",
    )  # fmt: skip
    add(
        "--dataset", metavar="NAME",
        help="whose classes these are, where the checkpoint does not say: a built-in dataset or a dataset.json",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    if options.classes and options.format in WEIGHTS_ALONE:
        parser.error(f"--classes is for onnx and torch: {options.format} holds weights alone")
    if os.path.isdir(options.output):  # Path.is_dir raises for names that are too long
        parser.error(f"--output '{options.output}' is a folder; name a file")
    return options


def run(options: argparse.Namespace) -> None:
    """Export as the options say, and print how the file was checked."""
    check_outputs(options, "output")
    named = find_description(options.dataset)
    model, own = load_model(options.checkpoint, input_size=options.input_size)
    description = resolve_description(named, own, model.num_classes, where=f"'{options.checkpoint}'")
    metadata = NetworkMetadata(description, model.input_size, "classes" if options.classes else "logits")
    start = time.monotonic()
    comparisons = export(model, metadata, options.output, options.format)
    for comparison in comparisons:
        show(str(comparison))
    show(
        f"'{options.output}' ({options.output.stat().st_size / 2**20:.0f} MB) is equal to PyTorch: classes agree on "
        f"{overall_agreement(comparisons):.4f} % of the pixels; exported in {time.monotonic() - start:.0f} s",
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    options = parse_options(arguments)
    return run_command("export.py", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
