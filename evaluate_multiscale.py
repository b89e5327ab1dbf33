"""Evaluate a CSENet at several scales with mirror, as the published figures were: `... --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import sys

from utils.evaluation.cli import run
from utils.inference.crop_parser import MULTI_SCALES

if __name__ == "__main__":
    sys.exit(run("Evaluate a CSENet on a labelled dataset, by default at three scales with mirror.", MULTI_SCALES))
