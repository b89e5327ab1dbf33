"""`python -m dataset.people`: write a set of drawn people, or a sheet to look at."""

if __name__ in ("__main__", "__mp_main__"):  # the latter is what the processes that draw call it
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import argparse
import sys
from pathlib import Path

from dataset.command import run_command
from dataset.files import show
from dataset.options import SEED, WORKERS, OptionParser
from dataset.people.folder import PEOPLE, make_dataset, people_size, write_sheet
from dataset.writing import check_outputs


def main() -> int:
    """Run the command line; return the exit status."""
    parser = OptionParser(
        prog="python -m dataset.people", description="Draw a small LIP-like set of people, or a sheet to look at."
    )
    parser.add_argument("--output", metavar="DIR", help="folder for the set, in the LIP layout")
    parser.add_argument("--train", type=PEOPLE, default=1000, metavar="N", help="training pictures (%(default)s)")
    parser.add_argument("--val", type=PEOPLE, default=200, metavar="N", help="validation pictures (%(default)s)")
    parser.add_argument("--size", type=people_size, default=(192, 128), metavar="H,W", help="of a picture (192,128)")
    parser.add_argument("--seed", type=SEED, default=0, metavar="S", help="another seed, other people (%(default)s)")
    parser.add_argument("--workers", type=WORKERS, metavar="N", help="processes that draw (default: one a core)")
    parser.add_argument("--force", action="store_true", help="replace another set of drawn people in the folder")
    parser.add_argument("--sheet", type=Path, metavar="FILE", help="write people and their labels into one picture")
    options = parser.parse_args()
    if not options.output and not options.sheet:
        parser.error("nothing to do: give --output DIR, --sheet FILE or both")
    if options.sheet and options.sheet.suffix.lower() not in (".png", ".jpg", ".jpeg"):
        parser.error(f"{options.sheet}: the sheet is a picture; name a .png or .jpg file")
    return run_command("dataset.people", lambda: run(options))


def run(options: argparse.Namespace) -> None:
    """Draw what the options ask for, and print where it is."""
    check_outputs(options, "sheet")
    if options.output:
        folder = make_dataset(
            options.output,
            num_train=options.train,
            num_val=options.val,
            size=options.size,
            seed=options.seed,
            force=options.force,
            workers=options.workers,
        )
        show(f"{folder} holds {options.train} training and {options.val} validation pictures")
    if options.sheet:
        write_sheet(options.sheet, options.size, options.seed)
        show(f"wrote {options.sheet}")


if __name__ == "__main__":
    sys.exit(main())
