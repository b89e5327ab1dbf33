"""Evaluate a CSENet at one scale with mirror: `python evaluate.py --help`."""

if __name__ == "__main__":
    from dataset.interrupts import end_at_once_on_ctrl_c

    end_at_once_on_ctrl_c()

import sys

from utils.evaluation.cli import run

if __name__ == "__main__":
    sys.exit(run("Evaluate a CSENet on a labelled dataset, by default at a single scale with mirror.", scales=(1.0,)))
