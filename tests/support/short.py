"""Run a script of the project with one block a layer in the backbone of its networks: `python short.py SCRIPT ...`."""

import runpy
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.support.building import short_backbone

if __name__ == "__main__":
    del sys.argv[0]
    with short_backbone():
        runpy.run_path(str(Path(__file__).parents[2] / sys.argv[0]), run_name="__main__")
