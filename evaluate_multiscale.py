"""Evaluate a CSENet at several scales with mirror, as the published figures were: `... --help`."""

import sys

from utils.crop_parser import MULTI_SCALES
from utils.evaluation_script import run

if __name__ == "__main__":
    sys.exit(run("Evaluate a CSENet on a labelled dataset, by default at three scales with mirror.", MULTI_SCALES))
