"""Command-line options that several scripts share, and the values they may have."""

import argparse
import functools
import reprlib
from collections.abc import Iterable
from typing import Any

from dataset.options import Number, OptionError, Whole, two_whole_numbers
from networks.csenet import checked_size
from utils.device import AMP_DTYPES, check_amp, choose_device

MASK_FORMATS = ("palette", "index")
ENGINES = ("torch", "openvino", "onnxruntime")
"""What computes a network for predictions, see `utils.inference.engines`."""

IMAGES_AT_ONCE = Whole(1, 1024, "more do not fit into the memory of any machine")
SCALE = Number("from 0.25 to 4, the factor by which crops can differ from those of the training", 0.25, 4)
MOST_SCALES = 16
"""Each of them takes the network once more."""


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the defaults in `--help`, where there is something to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def add_checkpoint(parser: Any, formats: str = "safetensors or ONNX", *, required: bool = True) -> None:
    """Add --checkpoint to an ArgumentParser or a group of its options; `formats` are those beside PyTorch's own."""
    parser.add_argument(
        "--checkpoint",
        "--restore-from",
        required=required,
        metavar="FILE",
        help=f"a snapshot, the published weights, or a {formats} file",
    )


def add_mask_format(parser: Any) -> None:
    """Add --mask-format, of `MASK_FORMATS`, to an ArgumentParser or a group of its options."""
    parser.add_argument(
        "--mask-format",
        choices=MASK_FORMATS,
        default="palette",
        help="palette: in the dataset's colours; the values are the class indices, of which OpenCV makes colours. "
        "index: 8-bit gray, which every program reads as class indices, and shows nearly black (default: %(default)s)",
    )


def add_device_and_amp(parser: Any, *, for_prediction: bool = False) -> None:
    """Add --device and --amp to an ArgumentParser or a group of its options."""
    names = "cpu, cuda, cuda:1 ..., mps" if for_prediction else "cpu, cuda, cuda:1 ..."
    parser.add_argument(
        "--device",
        type=functools.partial(device_option, for_prediction=for_prediction),
        help=f"{names} (default: a CUDA GPU if there is one)",
    )
    parser.add_argument("--amp", choices=list(AMP_DTYPES), default="off", help="mixed precision (default: %(default)s)")


def add_engine(parser: Any, *, deterministic: bool) -> None:
    """Add --engine and --deterministic to an ArgumentParser or a group of its options."""
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        help="what computes the network. openvino and onnxruntime do so on the CPU; onnxruntime takes ONNX files alone "
        "(default: torch, for ONNX files onnxruntime)",
    )
    parser.add_argument(
        "--deterministic",
        action=argparse.BooleanOptionalAction,
        default=deterministic,
        help="on a CPU, the same bits whatever the batch size and the number of processes and cores: each crop is "
        f"computed on one core (default: {'yes' if deterministic else 'no'})",
    )


def add_people(parser: Any) -> None:
    """Add --people and --people-weights to an ArgumentParser or a group of its options."""
    parser.add_argument(
        "--people",
        choices=("auto",),
        help="auto: find people with torchvision's detector, whose weights (74 MB) are downloaded when they are first "
        "used, and parse each by himself; where it finds nobody, all is background",
    )
    parser.add_argument("--people-weights", metavar="FILE", help="the detector's weights, instead of downloading them")


def parse_options(parser: argparse.ArgumentParser, arguments: list[str] | None = None) -> argparse.Namespace:
    """Read a command line with the options of `add_device_and_amp`, and check that those of one thing fit together."""
    options = parser.parse_args(arguments)
    try:
        check_amp(options.amp, choose_device(options.device, for_prediction=True))
    except ValueError as error:
        parser.error(str(error))
    if getattr(options, "people_weights", None) and not options.people:
        parser.error("--people-weights is the detector's file; add --people auto")
    return options


def device_option(text: str, *, for_prediction: bool = False) -> str:
    """Return the name of a device that networks are trained and evaluated on, or that pictures are parsed on."""
    try:
        choose_device(text, for_prediction=for_prediction)
    except ValueError as error:
        raise OptionError(str(error)) from error
    return text


def size_option(value: str | Iterable[int]) -> tuple[int, int]:
    """Read "473,473" as the (height, width) of a crop; numbers are checked alike."""
    try:
        return checked_size(two_whole_numbers(value))
    except ValueError as error:
        raise OptionError(str(error)) from error


def scales_option(value: str | Iterable[float]) -> tuple[float, ...]:
    """Read "0.75,1,1.25" as scales of the crop; numbers are checked alike.

    Raises OptionError for none, for more than 16 and for those the network is not for.
    """
    try:
        numbers = [float(part) for part in (value.split(",") if isinstance(value, str) else value)]
    except (TypeError, ValueError, OverflowError) as error:
        raise OptionError(f"{reprlib.repr(value)} is not a list of scales; write them as in 0.75,1,1.25") from error
    scales = tuple(SCALE(number) for number in numbers)
    if not 1 <= len(scales) <= MOST_SCALES:
        raise OptionError(f"these are {len(scales)} scales; give 1 to {MOST_SCALES}, each takes the network once more")
    return scales
