"""`predict.py` with a tiny network: what the tests start as a process of its own.

BATCH_SECONDS in the environment slows the network down, so that a test can interrupt a run.
"""

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from torch import Tensor

sys.path.insert(0, str(Path(__file__).parents[2]))

import predict
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser, human_parser
from utils.inference.crop_parser import CropParser

R = TypeVar("R")


class SlowCropParser(CropParser):
    """Takes some seconds more for each batch."""

    def each(self, images: Tensor, finish: Callable[[int, Tensor], R]) -> list[R]:
        time.sleep(float(os.environ.get("BATCH_SECONDS", 0)))
        return super().each(images, finish)


human_parser.CropParser = SlowCropParser  # type: ignore[misc]
HumanParser.from_checkpoint = lambda *_, **__: tiny_parser()  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(predict.main())
