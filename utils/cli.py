"""Command-line options that several scripts share."""

import argparse
from typing import Any

MASK_FORMATS = ("palette", "index")


class HelpFormatter(argparse.ArgumentDefaultsHelpFormatter):
    """Show the defaults in `--help`, where there is something to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        if action.default in (None, False):
            return action.help
        return super()._get_help_string(action)


def add_mask_format(parser: Any) -> None:
    """Add --mask-format, of `MASK_FORMATS`, to an ArgumentParser or a group of its options."""
    parser.add_argument(
        "--mask-format",
        choices=MASK_FORMATS,
        default="palette",
        help="palette: in the dataset's colours; the values are the class indices, of which OpenCV makes colours. "
        "index: 8-bit gray, which every program reads as class indices, and shows nearly black (default: %(default)s)",
    )


def size_option(text: str) -> tuple[int, int]:
    """Read "473,473" as (height, width)."""
    try:
        height, width = (int(part) for part in text.replace("x", ",").split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a size; write height,width as in 473,473") from error
    if min(height, width) < 1:
        raise argparse.ArgumentTypeError(f"'{text}': height and width must be positive")
    return height, width


def scales_option(text: str) -> tuple[float, ...]:
    """Read "0.75,1,1.25" as numbers."""
    try:
        scales = tuple(float(part) for part in text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"'{text}' is not a list of scales; write them as in 0.75,1,1.25") from error
    if not scales or min(scales) <= 0:
        raise argparse.ArgumentTypeError(f"'{text}': scales must be positive")
    return scales
