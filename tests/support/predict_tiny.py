"""`predict.py` with a tiny network: what the tests start as a process of its own.

BATCH_SECONDS in the environment slows the network down, so that a test can interrupt a run.
"""

import os
import sys
import time
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[2]))

import predict
from tests.support.tiny_parser import tiny_parser
from utils.inference import HumanParser
from utils.inference.crop_parser import CropParser


def slow_parser(*_: Any, **__: Any) -> HumanParser:
    """Stand in for `HumanParser.from_checkpoint`."""
    classes = CropParser.classes

    def slow_classes(engine: CropParser, images: torch.Tensor) -> torch.Tensor:
        time.sleep(float(os.environ.get("BATCH_SECONDS", 0)))
        return classes(engine, images)

    CropParser.classes = slow_classes  # type: ignore[method-assign,assignment]
    return tiny_parser()


HumanParser.from_checkpoint = slow_parser  # type: ignore[method-assign]

if __name__ == "__main__":
    sys.exit(predict.main())
